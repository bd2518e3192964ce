"""How the alerts about servers, calls and monitoring itself come and go."""

from __future__ import annotations

from typing import Final

from tests.deployment.monitoring.alert_case import Case, counted, flat, once, rising, state, steady

_AT = 'job="midstream",server="replay",instance="a:9151"'
_CALL = 'server="price",instance="b:9153",grpc_type="unary",grpc_service="S",grpc_method="M"'
_HTTP = 'server="orders",instance="c:9155",method="GET",route="/v1/orders"'
_DAY = 86_400

SERVERS: Final = (
    Case("NoServersScraped", {f"up{{{_AT}}}": "1x8 _x60 1x40"}, fires="15m", ends="25m"),
    Case("ServerDown", {f"up{{{_AT}}}": state(0, 20, rest=1)}, fires="4m", ends="8m"),
    Case("ServerVanished", {f"up{{{_AT}}}": "1x8 _x80 1x40"}, fires="15m", ends="24m"),
    Case("ServerNotServing", {f"midstream_serving{{{_AT}}}": state(0, 20, rest=1)}, fires="4m", ends="8m"),
    Case(
        "ServerRestartsOften",
        {f"process_start_time_seconds{{{_AT}}}": "100x8 200x1 300x1 400x200"},
        fires="4m",
        ends="25m",
    ),
    Case("EngineRestarted", {f"midstream_engine_restarts_total{{{_AT}}}": once()}, fires="3m", ends="14m"),
    Case(
        "EngineDiesOften",
        {f"midstream_engine_restarts_total{{{_AT}}}": "0x8 1x2 2x2 3x200"},
        fires="5m",
        ends="16m",
    ),
    Case(
        "EngineBusy",
        {
            f"midstream_engine_cpu_seconds_total{{{_AT}}}": rising(15, 120),
            f"midstream_pacing_speed{{{_AT}}}": flat(1),
        },
        fires="25m",
        ends="45m",
    ),
    Case("EngineMemoryHigh", {f"midstream_engine_memory_bytes{{{_AT}}}": state(2e9, 60, rest=5e7)}, "14m", "20m"),
    Case("ServerMemoryHigh", {f"process_resident_memory_bytes{{{_AT}}}": state(2e9, 60, rest=8e7)}, "14m", "20m"),
    Case(
        "OpenFilesNearlyUsed",
        {f"process_open_fds{{{_AT}}}": state(900, 40, rest=40), f"process_max_fds{{{_AT}}}": flat(1024)},
        fires="10m",
        ends="14m",
    ),
    Case(
        "BuildsDiffer",
        {
            'midstream_build_info{server="replay",version="1.0",python="3.13.5",revision="a"}': flat(1),
            'midstream_build_info{server="price",version="1.1",python="3.13.5",revision="b"}': "_x8 1x160 _x40",
        },
        fires="40m",
        ends="50m",
    ),
    Case("HealthCheckDown", {'midstream_health_check_status{check="price"}': state(2, 20)}, "4m", "8m"),
    Case("HealthCheckDegraded", {'midstream_health_check_status{check="queue"}': state(1, 40)}, "10m", "14m"),
    Case("RedisDown", {'midstream_health_check_status{check="redis"}': state(2, 20)}, "4m", "8m"),
    Case(
        "CertificateEnds",
        {f"midstream_tls_certificate_not_after_seconds{{{_AT}}}": state(3 * _DAY, 20, rest=30 * _DAY)},
        fires="4m",
        ends="8m",
    ),
    Case(
        "CertificateEndsToday",
        {f"midstream_tls_certificate_not_after_seconds{{{_AT}}}": state(_DAY / 2, 20, rest=30 * _DAY)},
        fires="4m",
        ends="8m",
    ),
    Case("TlsFilesUnusable", {f"midstream_tls_files_unusable{{{_AT}}}": state(1, 40)}, "10m", "14m"),
    Case("InsecureServer", {f"midstream_insecure{{{_AT}}}": state(1, 20)}, "3m", "8m"),
    Case("AccessCannotBeAsked", {f"midstream_access_troubles{{{_AT}}}": state(1, 20)}, "4m", "8m"),
)

CALLS: Final = (
    Case(
        "CallsFailFast",
        {
            f'grpc_server_handled_total{{{_CALL},grpc_code="OK"}}': steady(9, 600),
            f'grpc_server_handled_total{{{_CALL},grpc_code="INTERNAL"}}': rising(3, 40, after=560),
        },
        fires="10m",
        ends="30m",
    ),
    Case(
        "RpcFails",
        {
            f'grpc_server_handled_total{{{_CALL},grpc_code="OK"}}': steady(9),
            f'grpc_server_handled_total{{{_CALL},grpc_code="UNAVAILABLE"}}': rising(3, 40),
        },
        fires="11m",
        ends="18m",
    ),
    Case(
        "RpcSlow",
        {
            f'grpc_server_handling_seconds_bucket{{{_CALL},le="2.5"}}': "0+0x400",
            f'grpc_server_handling_seconds_bucket{{{_CALL},le="5"}}': rising(3, 60),
            f'grpc_server_handling_seconds_bucket{{{_CALL},le="+Inf"}}': rising(3, 60),
        },
        fires="16m",
        ends="23m",
    ),
    Case(
        "CallsRefused",
        {f'grpc_server_handled_total{{{_CALL},grpc_code="RESOURCE_EXHAUSTED"}}': counted(40)},
        fires="3m",
        ends="9m",
    ),
    Case(
        "RestFails",
        {
            f'midstream_http_requests_total{{{_HTTP},status="200"}}': steady(9),
            f'midstream_http_requests_total{{{_HTTP},status="503"}}': rising(3, 40),
        },
        fires="11m",
        ends="18m",
    ),
    Case(
        "RestSlow",
        {
            f'midstream_http_request_seconds_bucket{{{_HTTP},le="2.5"}}': "0+0x400",
            f'midstream_http_request_seconds_bucket{{{_HTTP},le="5"}}': rising(3, 60),
            f'midstream_http_request_seconds_bucket{{{_HTTP},le="+Inf"}}': rising(3, 60),
        },
        fires="16m",
        ends="23m",
    ),
    Case("WebLimitsReached", {f"midstream_web_ended_total{{{_AT}}}": counted(30)}, "3m", "14m"),
)

MONITORING: Final = (
    Case("AlertmanagerDown", {'up{job="alertmanager",instance="m:9093"}': state(0, 40, rest=1)}, "10m", "14m"),
    Case("AlertsNotDelivered", {'prometheus_notifications_dropped_total{instance="m:9090"}': once()}, "3m", "14m"),
    Case(
        "RulesFail",
        {'prometheus_rule_evaluation_failures_total{rule_group="rules/orders.yml;midstream-orders"}': once()},
        fires="3m",
        ends="9m",
    ),
)
