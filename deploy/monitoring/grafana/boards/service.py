"""Every server at a glance: is it up, who calls it, how well that goes, what it costs."""

# A sentence and an expression are read whole.
# ruff: noqa: E501

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana.model import YES_IS_GOOD, Board, Colour, Kind, Panel, Query, Row, State, one

_CHECKS = (State(0, "ok", Colour.GREEN), State(1, "degraded", Colour.YELLOW), State(2, "down", Colour.RED))

SERVICE: Final = Board(
    name="service-overview",
    title="Midstream / Service overview",
    description="Rate, errors and duration of every call, and whether each server is well.",
    by_server=True,
    rows=(
        Row(
            "Now",
            (
                Panel(
                    "Servers down", "Targets that do not answer a scrape. Runbook: ServerDown.", "",
                    one('count(up{job="midstream",server=~"$server"} == 0) or vector(0)', "down"),
                    Kind.STAT, width=6, worry=1,
                ),
                Panel(
                    "Not serving", "Processes that run and say that they cannot do their work. Runbook: ServerNotServing.", "",
                    one('count(midstream_serving{server=~"$server"} == 0) or vector(0)', "not serving"),
                    Kind.STAT, width=6, worry=1,
                ),
                Panel(
                    "Alerts firing", "Pages and tickets that are open now; docs/monitoring.md has a runbook for each.", "",
                    one('count by (severity) (ALERTS{alertstate="firing"}) or label_replace(vector(0), "severity", "none", "", "")',
                        "{{severity}}"),
                    Kind.STAT, width=6, worry=1,
                ),
                Panel(
                    "Builds", "Versions that run beside each other; more than one is a deployment, or a mistake. Runbook: BuildsDiffer.", "",
                    one("count(count by (version, revision) (midstream_build_info))", "builds"),
                    Kind.STAT, width=6, worry=2,
                ),
                Panel(
                    "Serving", "Whether every service of the process is SERVING.", "",
                    one('min by (server) (midstream_serving{server=~"$server"})', "{{server}}"),
                    Kind.STATES, states=YES_IS_GOOD,
                ),
                Panel(
                    "Health checks", "What the health server finds: other servers, Redis, feed, queue, exchanges.", "",
                    one("max by (check) (midstream_health_check_status)", "{{check}}"),
                    Kind.STATES, states=_CHECKS,
                ),
            ),
        ),
        Row(
            "Calls (gRPC)",
            (
                Panel(
                    "Rate", "Calls completed per second, by server.", "reqps",
                    one('sum by (server) (server_method:grpc_server_handled:rate5m{server=~"$server"})', "{{server}}"), width=8,
                ),
                Panel(
                    "Errors by method", "Calls that ended with an error of ours, per second. Runbook: RpcFails.", "reqps",
                    one('topk(10, server_method:grpc_server_failed:rate5m{server=~"$server"} > 0)',
                        "{{server}} {{grpc_method}}"),
                    width=8, worry=0.1, alarm=1, empty="no call fails",
                ),
                Panel(
                    "Duration, 99th percentile", "Of calls with one answer, the ten slowest methods. Runbook: RpcSlow.", "s",
                    one('topk(10, server_method:grpc_server_handling_seconds:p99{server=~"$server"})',
                        "{{server}} {{grpc_method}}"),
                    width=8, worry=1, alarm=2.5,
                ),
                Panel(
                    "Success", "Share of calls that did not fail, over 5 minutes; 99.9 % is the objective. Runbook: CallsFailFast.",
                    "percentunit",
                    one('server:grpc_success:ratio_rate5m{server=~"$server"}', "{{server}}"), worry=0.999, alarm=0.986, decimals=2,
                ),
                Panel(
                    "Calls by code", "How calls ended, OK and cancelled by the caller apart.", "reqps",
                    one('sum by (grpc_code) (rate(grpc_server_handled_total{server=~"$server",grpc_code!~"OK|CANCELLED"}[$__rate_interval])) > 0',
                        "{{grpc_code}}"),
                    empty="every call is OK",
                ),
            ),
        ),
        Row(
            "Requests (REST and pages)",
            (
                Panel(
                    "Rate", "Requests answered per second, the ten busiest routes.", "reqps",
                    one('topk(10, server_route:midstream_http_requests:rate5m{server=~"$server"})',
                        "{{server}} {{method}} {{route}}"),
                    width=8,
                ),
                Panel(
                    "Errors by route", "Requests answered 5xx per second. Runbook: RestFails.", "reqps",
                    one('topk(10, server_route:midstream_http_failed:rate5m{server=~"$server"} > 0)',
                        "{{server}} {{method}} {{route}}"),
                    width=8, worry=0.1, alarm=1, empty="no request fails",
                ),
                Panel(
                    "Duration, 99th percentile", "The ten slowest routes. Runbook: RestSlow.", "s",
                    one('topk(10, server_route:midstream_http_request_seconds:p99{server=~"$server"})',
                        "{{server}} {{method}} {{route}}"),
                    width=8, worry=1, alarm=2.5,
                ),
                Panel(
                    "Web requests, connections and streams", "Held now; docs/limits.md has the limits.", "",
                    (Query('midstream_http_requests_in_flight{server=~"$server"}', "{{server}} requests"),
                     Query('midstream_web_connections{server=~"$server"}', "{{server}} connections"),
                     Query('midstream_web_streams{server=~"$server"}', "{{server}} streams")),
                ),
                Panel(
                    "Ended by a limit", "Connections, streams and requests that a limit ended or refused, per second. Runbook: WebLimitsReached.",
                    "cps",
                    one('rate(midstream_web_ended_total{server=~"$server"}[$__rate_interval])', "{{server}}"), worry=0.05,
                ),
            ),
        ),
        Row(
            "Saturation",
            (
                Panel(
                    "Memory of servers", "Resident; about 100 MB is usual. Runbook: ServerMemoryHigh.", "bytes",
                    one('process_resident_memory_bytes{job="midstream",server=~"$server"}', "{{server}}"),
                    width=8, worry=1e9, alarm=1.5e9,
                ),
                Panel(
                    "Memory of engines", "Of the child process behind replay and price. Runbook: EngineMemoryHigh.", "bytes",
                    one('midstream_engine_memory_bytes{server=~"$server"}', "{{server}}"), width=8, worry=1e9, alarm=1.5e9,
                ),
                Panel(
                    "Processor", "Of servers and engines; 1 is one core, which is all that each can use. Runbook: EngineBusy.",
                    "percentunit",
                    (Query('rate(process_cpu_seconds_total{job="midstream",server=~"$server"}[$__rate_interval])', "{{server}}"),
                     Query('rate(midstream_engine_cpu_seconds_total{server=~"$server"}[$__rate_interval])', "{{server}} engine")),
                    width=8, worry=0.7, alarm=0.9,
                ),
                Panel(
                    "Open files", "Share of what the process may open. Runbook: OpenFilesNearlyUsed.", "percentunit",
                    one('process_open_fds{job="midstream",server=~"$server"} / process_max_fds', "{{server}}"),
                    width=8, worry=0.5, alarm=0.8,
                ),
                Panel(
                    "Engine restarts", "Within the time shown. Runbook: EngineRestarted.", "",
                    one('increase(midstream_engine_restarts_total{server=~"$server"}[$__range])', "{{server}}"),
                    Kind.STAT, width=8, worry=1, alarm=3, decimals=0,
                ),
                Panel(
                    "Certificate ends in", "Of the certificate in use. Runbook: CertificateEnds.", "s",
                    one('min by (server) (midstream_tls_certificate_not_after_seconds{server=~"$server"} > 0) - time()', "{{server}}"),
                    Kind.STAT, width=8, worry=7 * 86400, alarm=86400, empty="no TLS",
                ),
            ),
        ),
    ),
)  # fmt: skip
