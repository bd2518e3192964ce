"""What a task is given starts the server that it is for: its environment is read by the server's own settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli.serve_command import serve_environment
from services.cli.servers import SERVERS
from services.cli.settings_catalogue import MODELS
from services.health.config import HealthSettings
from services.health.elsewhere import channel_settings
from services.runtime.exposure import insecure_reason
from services.runtime.known_settings import unknown_settings
from services.runtime.setting_names import NAMES
from services.runtime.settings import ServerSettings, load
from tests.deployment.aws.shapes import DEPLOYED, server_parameters, stage_parameters
from tests.support.cloudformation import STAGES, Stack, resolve, template

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "operating_orders.md").read_text(encoding="utf-8")
FROM_PARAMETER_STORE = {
    "MIDSTREAM_REDIS_URL": "rediss://:x@queue.internal:6379/0",
    "MIDSTREAM_DATABASE_URL": "postgresql://desk:x@db.internal/midstream?sslmode=verify-full",
    "MIDSTREAM_KEYS_DATABASE_URL": "postgresql://desk:x@db.internal/midstream?sslmode=verify-full",
    "MIDSTREAM_KEYS_SECRET": "0" * 64,
    "MIDSTREAM_POWER_URL": "wss://power.example:443",
}
"""As docs/aws.md has them."""


def task(stage: str, server: str, **change: Any) -> Stack:
    return resolve(template("server"), **server_parameters(stage, server) | change)


def environment(stack: Stack) -> dict[str, str]:
    containers = stack.resources["Task"]["Properties"]["ContainerDefinitions"]
    return {each["Name"]: str(each["Value"]) for each in containers[1]["Environment"]}


def settings_of(server: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ServerSettings:
    for name in list(os.environ):
        if name.startswith("MIDSTREAM_"):
            monkeypatch.delenv(name)
    certificate = tmp_path / "server.pem"
    certificate.touch()
    files = {"MIDSTREAM_TLS_CERT": str(certificate), "MIDSTREAM_TLS_KEY": str(certificate)}
    for name, value in (FROM_PARAMETER_STORE | given | files).items():
        monkeypatch.setenv(name, value)
    for name, value in serve_environment().items():
        monkeypatch.setenv(name, value)
    # Parameter Store itself is asked in another test.
    monkeypatch.delenv("MIDSTREAM_PARAMETERS")
    settings = load(MODELS[server])
    assert isinstance(settings, ServerSettings)
    return settings


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("server", DEPLOYED)
def test_the_servers_of_every_stage_take_their_settings(
    stage: str, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(server, environment(task(stage, server)), monkeypatch, tmp_path)
    assert settings.stage == stage
    assert insecure_reason(settings) == ""
    assert settings.reflection == (stage != "prod")
    assert getattr(settings, "live_url", "") == ""


@pytest.mark.parametrize("server", DEPLOYED)
def test_ports_are_those_of_the_server(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stack = task("prod", server)
    settings = settings_of(server, environment(stack), monkeypatch, tmp_path)
    mapped = [
        int(each["ContainerPort"])
        for each in stack.resources["Task"]["Properties"]["ContainerDefinitions"][1]["PortMappings"]
    ]
    web = [settings.web_port] if hasattr(settings, "web_port") else []
    assert mapped == [settings.port, settings.metrics_port, *web]


@pytest.mark.parametrize("server", DEPLOYED)
@pytest.mark.parametrize(
    "fault",
    [
        {"MIDSTREAM_INSECURE": "yes"},
        {"MIDSTREAM_REFLECTION": "on"},
        {"MIDSTREAM_HOST": "0.0.0.0", "MIDSTREAM_AUTH": ""},
    ],
    ids=lambda fault: "-".join(fault),
)
def test_a_template_that_forgot_something_would_be_noticed(
    server: str, fault: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = environment(task("prod", server)) | fault
    if "MIDSTREAM_AUTH" in fault and server != "orders":
        assert insecure_reason(settings_of(server, given, monkeypatch, tmp_path))
    elif "MIDSTREAM_AUTH" not in fault:
        with pytest.raises(SystemExit):
            settings_of(server, given, monkeypatch, tmp_path)


@pytest.mark.parametrize("server", DEPLOYED)
def test_every_name_is_a_setting(server: str) -> None:
    assert unknown_settings(environment(task("prod", server)), NAMES) == {}
    assert unknown_settings({"MIDSTREAM_TRADIN": "live"}, NAMES)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("MIDSTREAM_EXCHANGES", ("staging", "prod")),
        ("MIDSTREAM_ORDERS_STALE_KILL_S", STAGES),
        ("MIDSTREAM_ORDERS_PRICE_BAND", STAGES),
        ("MIDSTREAM_ORDERS_PRICE_AGE_MAX_S", STAGES),
        ("MIDSTREAM_ORDERS_DOCS", STAGES),
        ("MIDSTREAM_REFLECTION", STAGES),
        ("MIDSTREAM_LOG_FORMAT", ("staging", "prod")),
        ("MIDSTREAM_STAGE", STAGES),
    ],
)
def test_a_stage_is_what_the_page_says(name: str, stages: tuple[str, ...]) -> None:
    row = next(line for line in PAGE.splitlines() if re.match(rf"\|[^|]*`{name}`", line))
    told = dict(zip(STAGES, (cell.strip(" `") for cell in row.split("|")[2:5]), strict=True))
    given = {stage: environment(task(stage, "orders"))[name] for stage in stages}
    assert given == {stage: told[stage] for stage in stages}


def test_what_is_not_given_is_left_out_and_not_empty() -> None:
    given = environment(task("dev", "orders", Trading="dry-run", NotionalMax="", PositionMax="", LossMax=""))
    assert "" not in given.values()
    assert "MIDSTREAM_ORDERS_NOTIONAL_MAX" not in given
    assert "MIDSTREAM_ORDERS_NOTIONAL_MAX" not in environment(task("prod", "price", NotionalMax="1"))


@pytest.mark.parametrize("stage", STAGES)
def test_health_watches_every_other_server_by_its_name(
    stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of("health", environment(task(stage, "health")), monkeypatch, tmp_path)
    assert isinstance(settings, HealthSettings)
    wanted = {}
    for server in DEPLOYED:
        if server != "health":
            name = task(stage, server).resources["Name"]["Properties"]["Description"].removeprefix("dns:///")
            wanted[server] = f"{name}:{SERVERS[server].port}"

    assert settings.elsewhere() == wanted
    assert settings.targets() == {}
    assert channel_settings(settings).ca == Path("/tmp/tls/ca.pem")
    opened = resolve(template("cluster"), **stage_parameters(stage)["cluster"]).resources["ServersToGrpc"]["Properties"]
    assert opened["GroupId"] == opened["SourceSecurityGroupId"]
    ports = range(int(opened["FromPort"]), int(opened["ToPort"]) + 1)
    assert all(int(address.rpartition(":")[2]) in ports for address in wanted.values())


def test_health_watches_whom_it_is_told_and_nobody_else_watches() -> None:
    some = "replay=replay.midstream-dev.internal:50051"
    assert environment(task("dev", "health", Watch=some))["MIDSTREAM_HEALTH_WATCH"] == some
    for server in DEPLOYED:
        watching = {"MIDSTREAM_HEALTH_WATCH", "MIDSTREAM_HEALTH_WATCH_CA"} & environment(task("dev", server)).keys()
        assert bool(watching) == (server == "health")


def test_health_is_given_the_authority_where_it_reads_it(tmp_path: Path) -> None:
    stack = task("prod", "health")
    certificate = stack.resources["Task"]["Properties"]["ContainerDefinitions"][0]
    given = {each["Name"]: f"{each['Name']} of the stage\n" for each in certificate["Secrets"]}
    script = certificate["Command"][0].replace("/tmp/tls", str(tmp_path / "tls"))
    subprocess.run([sys.executable, "-I", "-c", script], env=given, check=True, timeout=60)

    read = environment(stack)["MIDSTREAM_HEALTH_WATCH_CA"].replace("/tmp/tls", str(tmp_path / "tls"))
    assert Path(read).read_text() == "CA_PEM of the stage\n"


def test_the_certificate_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    certificate = task("prod", "orders").resources["Task"]["Properties"]["ContainerDefinitions"][0]
    script = certificate["Command"][0].replace("/tmp/tls", str(tmp_path / "tls"))
    given = {each["Name"]: f"{each['Name']} of the stage\n\n" for each in certificate["Secrets"]}

    # Twice: a task that is started again finds its volume as it was, or empty.
    for _ in range(2):
        subprocess.run([sys.executable, "-I", "-c", script], env=given, check=True, timeout=60)

    written = {path.name: path for path in (tmp_path / "tls").iterdir()}
    assert {name: path.read_text() for name, path in written.items()} == {
        "server.pem": "SERVER_PEM of the stage\n",
        "server-key.pem": "SERVER_KEY_PEM of the stage\n",
        "database-ca.pem": "DATABASE_CA_PEM of the stage\n",
    }
    assert {path.stat().st_mode & 0o777 for path in written.values()} == {0o600}
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_servers_read_the_certificate_where_it_was_written() -> None:
    stack = task("prod", "orders")
    given = environment(stack)
    script = stack.resources["Task"]["Properties"]["ContainerDefinitions"][0]["Command"][0]
    assert {Path(given[name]).name for name in ("MIDSTREAM_TLS_CERT", "MIDSTREAM_TLS_KEY")} == {
        "server.pem",
        "server-key.pem",
    }
    assert f'Path("{Path(given["MIDSTREAM_TLS_CERT"]).parent}")' in script
