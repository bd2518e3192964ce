"""Every port, setting, metric, parameter, service and command that a deployment names is one that the code has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.deploy_names import WALKS, complaints, deploy_files, named, ports_of_servers, unrecorded

FILES = deploy_files()

PLANTED = {
    "setting": [
        "- {name: MIDSTREAM_SPED, value: '2'}",
        "ENV MIDSTREAM_OTU=/var/lib/midstream",
        "`MIDSTREAM_TLS_CERTS`",
    ],
    "metric": [
        "expr: increase(midstream_orders_halts_total[5m]) > 0",
        '"expr": "histogram_quantile(0.99, sum by (le) (rate(grpc_server_handling_seconds_buckets[5m])))"',
        "- MetricName: midstream_srving",
    ],
    "port": [
        "EXPOSE 50051 50059",
        "containerPort: 9177",
        "targets: [replay:50052]",
        "- price.midstream.local:9154",
        "port: 8090",
        "port: 51059",
    ],
    "parameter": [
        "ValueFrom: /midstream/prod/order/MIDSTREAM_REDIS_URL",
        "Name: /midstream/production/orders/binance",
        "Resource: parameter/x and /midstream/${Stage}/orders/MIDSTREAM_REDIS_ULR",
    ],
    "service": [
        "service: midstream.price.v1.PricesService",
        "grpcurl x midstream.control.v1.ControlService/SwitchMode",
    ],
    "command": [
        'CMD ["serve", "replay", "prices"]',
        '    command: ["midstream", "health-check"]',
        "    midstream serve replay controls",
        "run `midstream sesions` and look",
        '  test: ["CMD", "midstream", "helthcheck"]',
    ],
}

RIGHT = """
EXPOSE 50051 51051 8080 9151 6379
CMD ["serve", "replay", "control", "price", "health"]
command: [serve, orders]
test: ["CMD", "midstream", "healthcheck", "replay"]
targets: [replay:9151, "price.midstream.local:50053", health:51054]
- {Name: MIDSTREAM_OUT, Value: /var/lib/midstream}
`MIDSTREAM_<SERVER>_PORT`, MIDSTREAM_WEB_... and MIDSTREAM_BINANCE_SSM_PATH
rate(grpc_server_handling_seconds_bucket{server="replay"}[5m]) / midstream_serving
server:grpc_server_handled:rate5m
/midstream/prod/orders/MIDSTREAM_REDIS_URL and /midstream/${Stage}/${Server}, /midstream/<stage>/orders/binance
service: midstream.price.v1.PriceService
What midstream keeps is what midstream for example says
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_code_has_whatever_a_deployment_names(path: Path) -> None:
    assert list(complaints(path.read_text(encoding="utf-8"))) == []


def test_every_recorded_series_is_recorded() -> None:
    used = [path.read_text(encoding="utf-8") for path in FILES if path.suffix in (".yml", ".yaml", ".json")]

    assert unrecorded(used) == set()


def test_names_of_every_kind_were_looked_at() -> None:
    seen: Counter[str] = Counter()
    for path in FILES:
        seen.update(named(path.read_text(encoding="utf-8")))

    assert {kind for kind, count in seen.items() if count} == set(WALKS)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in PLANTED.items() for text in texts])
def test_a_planted_mistake_is_found(kind: str, text: str) -> None:
    assert kind in [each.kind for each in complaints(text)]


def test_every_kind_has_planted_mistakes() -> None:
    assert set(PLANTED) == set(WALKS)


def test_nothing_is_said_against_what_is_right() -> None:
    assert list(complaints(RIGHT)) == []


def test_a_recorded_series_without_its_rule_is_found() -> None:
    rule = "  - record: server:grpc_success:ratio_rate5m\n    expr: 1\n"

    assert unrecorded([rule, "expr: server:grpc_success:ratio_rate1h < 1"]) == {"server:grpc_success:ratio_rate1h"}


def test_no_port_is_of_two_servers() -> None:
    counted = Counter(port for ports in ports_of_servers().values() for port in ports)

    assert [port for port, count in counted.items() if count > 1] == []
