"""Whatever a deployment names and the code has to have: ports, settings, metrics, parameters, services, commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from clients.exchanges.names import EXCHANGES
from clients.exchanges.registry import settings_class
from clients.secrets.environment import variables_of
from protos.control.v1 import control_pb2
from protos.health.v1 import health_pb2
from protos.orders.v1 import orders_pb2
from protos.price.v1 import price_pb2
from protos.replay.v1 import replay_pb2
from protos.reporting.v1 import reporting_pb2
from services.cli.main import app
from services.cli.metrics_catalogue import catalogue
from services.cli.servers import SERVERS
from services.cli.settings_catalogue import MODELS
from services.runtime.known_settings import OF_TESTS
from services.runtime.setting_names import NAMES
from tests.support.cli import ROOT

PAGES: Final = ("aws", "image", "kubernetes", "monitoring", "operations", "compose", "logs")
"""Pages in docs/ about deployments, where there are such."""
SUFFIXES: Final = frozenset({"", ".yaml", ".yml", ".json", ".toml", ".conf", ".md", ".env", ".sh"})

ADMIN_OFFSET: Final = 1_000
OTHERS: Final[Mapping[int, str]] = {
    3000: "Grafana",
    4317: "OTLP over gRPC",
    4318: "OTLP over HTTP",
    5432: "Postgres",
    6379: "Redis",
    8125: "StatsD",
    8888: "the collector's own metrics",
    9090: "Prometheus",
    9093: "Alertmanager",
    9094: "Alertmanager's peers",
    13133: "the collector's health",
}
"""Ports that are not ours."""

STAGES: Final = frozenset({"dev", "staging", "prod"})
FILES_OF_STAGES: Final = frozenset({"tls"})
"""Below a stage beside the servers: what a template hands to a container itself."""

_SETTING: Final = re.compile(r"\bMIDSTREAM_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_<*.]|_?[<*…]|_?\.\.\.|\$\{)")
_METRIC: Final = re.compile(
    r"(?<![\w/.:\-])(?:midstream|grpc_server|process|python)_[a-z0-9_]+[a-z0-9](?![\w/.\-]*\.py)(?![\w/=(*])(?!:\w)"
)
_PORT: Final = re.compile(r"(?<![\w.\-+])(?:5[0-9]{4}|80[0-9]{2}|91[0-9]{2}|50[4-8][0-9])(?![\w.%]|-[0-9])")
_SERVER_PORT: Final = re.compile(
    rf"(?<![\w-])(?P<server>{'|'.join(SERVERS)})(?:\.[\w.$%{{}}()-]+)?:(?P<port>[0-9]{{4,5}})\b"
)
_PARAMETER: Final = re.compile(r"(?<![\w.\-])/midstream/(?P<stage>\$\{?\w+\}?|<?\w+>?)/(?P<rest>[\w\-/${}<>*]+)")
_SERVICE: Final = re.compile(r"\b(?P<service>midstream\.[a-z]+\.v[0-9]+\.[A-Z]\w+)(?:/(?P<method>[A-Z]\w+))?")
_TYPED: Final = re.compile(
    r"(?m)(?:^[ \t]*|(?<=`)|(?<=\brun )|(?<=\bexec )|(?<=bin/))midstream (?P<words>[a-z][a-z-]*(?: [a-z][a-z-]*)*)(?=[ `\"'\n]|$)"
)
_LISTED: Final = re.compile(r"""(?im)^[ \t-]*(?:command|args|cmd|test|entrypoint)\b:?[ \t]*\[(?P<words>[^\]]*)\]""")
_RECORDED: Final = re.compile(r"(?m)^\s*(?:- )?record: (\S+)$")
_RECORD_USED: Final = re.compile(r"(?<![\w:/.])[a-z_]+:[a-z_]+:[a-z0-9_]+(?![\w:/])")


@dataclass(frozen=True)
class Complaint:
    """A name that the code does not have."""

    kind: str
    name: str
    why: str = ""


def deploy_files() -> list[Path]:
    """Return every file that a deployment consists of, and the pages about them."""
    found = [ROOT / "Dockerfile", *ROOT.glob("compose*.y*ml"), *(ROOT / "docs" / f"{page}.md" for page in PAGES)]
    found += [path for path in (ROOT / "deploy").rglob("*") if path.suffix in SUFFIXES]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def complaints(text: str) -> Iterator[Complaint]:
    """Return what a file names and the code does not have."""
    for walk in WALKS.values():
        yield from walk(text)


def unrecorded(texts: Sequence[str]) -> set[str]:
    """Return the recorded series (`server:grpc_success:ratio_rate5m`) that something uses and no rule records."""
    said = [re.sub(r"(?m)^\s*#.*$", "", text) for text in texts]
    recorded = {name for text in said for name in _RECORDED.findall(text)}
    return {name for text in said for name in _RECORD_USED.findall(text)} - recorded


def named(text: str) -> dict[str, int]:
    """Return how many names of each kind were looked at: a walk that sees nothing proves nothing."""
    return {
        "setting": len(_SETTING.findall(text)),
        "metric": len(_METRIC.findall(text)),
        "port": len(_PORT.findall(text)),
        "parameter": len(_PARAMETER.findall(text)),
        "service": len(_SERVICE.findall(text)),
        "command": len(_TYPED.findall(text)) + len(_LISTED.findall(text)),
    }


def _settings(text: str) -> Iterator[Complaint]:
    known = _known_settings()
    for name in sorted(set(_SETTING.findall(text)) - known):
        yield Complaint("setting", name)


def _known_settings() -> set[str]:
    exchanges = {f"MIDSTREAM_{field.upper()}" for name in EXCHANGES for field in settings_class(name).model_fields}
    return {
        *NAMES,
        *OF_TESTS,
        *exchanges,
        *(variable for name in EXCHANGES for variable in variables_of(name)),
    }


def _metrics(text: str) -> Iterator[Complaint]:
    for name in sorted(set(_METRIC.findall(text)) - _known_metrics()):
        yield Complaint("metric", name)


def _known_metrics() -> set[str]:
    known: set[str] = set()
    for series in catalogue():
        known.add(series.name)
        if series.kind == "histogram":
            known |= {f"{series.name}_{part}" for part in ("bucket", "sum", "count")}
    return known


def _ports(text: str) -> Iterator[Complaint]:
    own = ports_of_servers()
    known = {port for ports in own.values() for port in ports} | set(OTHERS)
    for port in sorted({int(each) for each in _PORT.findall(text)} - known):
        yield Complaint("port", str(port))
    for found in _SERVER_PORT.finditer(text):
        server, port = found["server"], int(found["port"])
        if port not in own[server] and port not in OTHERS:
            yield Complaint("port", f"{server}:{port}", f"{server} listens on {sorted(own[server])}")


def ports_of_servers() -> dict[str, set[int]]:
    """Return what every server listens on by default: gRPC, metrics, web face, health under TLS."""
    found: dict[str, set[int]] = {}
    for name, server in SERVERS.items():
        ports = {server.port, server.web}
        if server.scheme == "grpc":
            ports |= {server.port + ADMIN_OFFSET, MODELS[name].model_fields["metrics_port"].default}
        found[name] = ports - {0}
    return found


def _parameters(text: str) -> Iterator[Complaint]:
    for found in _PARAMETER.finditer(text):
        stage, rest = found["stage"], [part for part in found["rest"].strip("/").split("/") if part]
        shown = found[0]
        if re.fullmatch(r"[a-z]+", stage) and stage not in STAGES:
            yield Complaint("parameter", shown, f"there is no stage {stage}")
        first, *more = rest
        if _is_open(first) or first in FILES_OF_STAGES:
            continue
        if first not in SERVERS:
            yield Complaint("parameter", shown, f"there is no server {first}")
        for part in more:
            if not _is_open(part) and part not in EXCHANGES and part not in _known_settings():
                yield Complaint("parameter", shown, f"{part} is neither a setting nor an exchange")


def _is_open(part: str) -> bool:
    """Tell whether a part of a path is left to whoever reads it: ${Server}, <server>, SERVER, *."""
    return bool(re.search(r"[${}<>*]", part)) or (part.isupper() and not part.startswith("MIDSTREAM_"))


def _services(text: str) -> Iterator[Complaint]:
    known = {
        service.full_name: set(service.methods_by_name)
        for module in (control_pb2, health_pb2, orders_pb2, price_pb2, replay_pb2, reporting_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    for found in _SERVICE.finditer(text):
        if found["service"] not in known:
            yield Complaint("service", found["service"])
        elif found["method"] and found["method"] not in known[found["service"]]:
            yield Complaint("service", found[0], "there is no such method")


def _commands(text: str) -> Iterator[Complaint]:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    typed = [found["words"].split() for found in _TYPED.finditer(text)]
    for found in _LISTED.finditer(text):
        words = re.findall(r"""["']?([^"',\s]+)["']?""", found["words"])
        words = [word for word in words if word not in ("CMD", "CMD-SHELL")]
        if words[:1] == ["midstream"]:
            typed.append(words[1:])
        elif words and words[0] in ("serve", "healthcheck"):
            typed.append(words)
    for words in typed:
        if words and words[0] not in commands:
            yield Complaint("command", f"midstream {words[0]}")
        elif words and words[0] == "serve":
            for server in words[1:]:
                if re.fullmatch(r"[a-z][a-z-]*", server) and server not in SERVERS:
                    yield Complaint("command", f"midstream serve {server}", "there is no such server")


WALKS: Final[Mapping[str, Callable[[str], Iterator[Complaint]]]] = {
    "setting": _settings,
    "metric": _metrics,
    "port": _ports,
    "parameter": _parameters,
    "service": _services,
    "command": _commands,
}
