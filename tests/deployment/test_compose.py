"""compose.yaml: it is what its schema allows, every container is hardened, and nothing in it reaches further than it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.child import STOP_GRACE_S
from services.cli.servers import SERVERS
from services.runtime.engine_host import ENGINE_STOP_S
from services.runtime.server import GRACE_S, UNARY_GRACE_S
from services.simulators.venue.clearing import demo_account
from tests.support import compose
from tests.support.compose import MissingVariable, interpolated, seconds
from tests.support.imports import ROOT
from tests.support.missing_tools import beside_python

TEXT = compose.PATH.read_text(encoding="utf-8")
WHOLE = compose.read()
SERVICES: dict[str, dict[str, Any]] = WHOLE["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"] == "midstream:local" and name != "pod"}
CHECKER = beside_python("check-jsonschema")


def violations(text: str, folder: Path) -> str:
    """Return what the schema of compose files says about a text; empty when nothing."""
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [CHECKER, *schema, folder / "compose.yaml"], capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.needs("check-jsonschema")
def test_the_file_is_what_its_schema_allows(tmp_path: Path) -> None:
    assert violations(TEXT, tmp_path) == ""


@pytest.mark.needs("check-jsonschema")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param("stop_grace_period: 40s", "stop_grace: 40s", id="a key that is none"),
        pytest.param("read_only: true", "read_only: [1]", id="a value of another type"),
        pytest.param("condition: service_healthy", "condition: healthy", id="a condition that is none"),
    ],
)
def test_the_schema_finds_a_planted_fault(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in TEXT
    assert violations(TEXT.replace(right, wrong), tmp_path) != ""


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert any(each.startswith("/tmp:") for each in service["tmpfs"])
    assert not {"privileged", "cap_add", "devices", "pid", "userns_mode"} & set(service)
    assert "docker.sock" not in str(service)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_and_is_not_roots(name: str) -> None:
    service = SERVICES[name]
    repository, _, tag = service["image"].rpartition(":")

    assert repository
    assert tag != "latest"
    if repository == "midstream":
        assert service["build"]["context"] == "."
    else:
        assert repository.startswith("docker.io/")
        assert re.fullmatch(r"v?\d+(\.\d+)*", tag)
        # The image of Prometheus is nobody's already.
        assert service.get("user", "").split(":")[0] not in ("", "0", "root") or name == "prometheus"


def test_what_is_published_is_a_server_and_is_published_on_this_machine_alone() -> None:
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    ports = {port for name in OURS for port in (SERVERS[name].port, SERVERS[name].web) if "HOST" in str(settings(name))}

    assert list(published) == ["pod"]
    parts = [each.split(":") for each in published["pod"]]
    assert {host for host, _, _ in parts} == {"127.0.0.1"}
    assert all(outside == inside for _, outside, inside in parts)
    assert {int(inside) for _, _, inside in parts} == ports - {0} | {9090}


def settings(name: str) -> dict[str, str]:
    """Return what a server's environment says."""
    return dict(SERVICES[name]["environment"])


def test_only_what_is_published_listens_beyond_the_pod_and_says_so() -> None:
    beyond = {name for name in OURS if settings(name).get("MIDSTREAM_HOST")}

    exchanges = {"sim-binance", "sim-bybit", "sim-bitmex"}
    assert beyond == {"replay", "control", "price", "health", "orders", "reporting", *exchanges}
    # From the pod's address the levers are asked for by what is not loopback in there.
    assert {name for name in OURS if "anywhere" in settings(name).values()} == exchanges
    assert {name for name in OURS if settings(name).get("MIDSTREAM_INSECURE")} == beyond
    assert "MIDSTREAM_INSECURE" in TEXT.partition("\nname:")[0]


@pytest.mark.parametrize("name", [each for each in SERVICES if each != "pod"])
def test_every_service_shares_the_pod_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]

    assert service["network_mode"] == "service:pod"
    assert "networks" not in service
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(service["healthcheck"]["timeout"]) >= 5
    assert service["restart"] == "unless-stopped"
    assert service["depends_on"]["pod"] == {"condition": "service_started", "restart": True}


def test_whoever_needs_another_waits_until_it_serves() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, f"{name} depends on {other}"
            if other != "pod":
                assert how["condition"] == "service_healthy"
                # Else it could not be started without it.
                assert set(SERVICES[other].get("profiles", ())) <= set(service.get("profiles", ()))


@pytest.mark.parametrize("name", OURS)
def test_a_server_is_started_and_probed_by_its_name(name: str) -> None:
    service = OURS[name]

    assert service["command"] == ["serve", name]
    assert service["healthcheck"]["test"] == ["CMD", "midstream", "healthcheck", name]


@pytest.mark.parametrize("name", OURS)
def test_a_server_has_time_to_drain_and_room_for_its_files(name: str) -> None:
    service = OURS[name]
    drain_s = max(STOP_GRACE_S, GRACE_S + UNARY_GRACE_S + ENGINE_STOP_S)

    assert seconds(service["stop_grace_period"]) >= 2 * drain_s
    data = "/var/lib/midstream"
    places = [each.partition(":")[0] for each in service["tmpfs"]] + [
        each.split(":")[1] for each in service.get("volumes", ())
    ]
    assert places.count(data) == 1
    # A volume of its own: two servers in one would take each other's files for theirs.
    assert all(each == f"{name}:{data}" for each in service.get("volumes", ()))


def test_every_volume_and_every_file_that_is_mounted_is_there() -> None:
    mounts = [each.split(":") for service in SERVICES.values() for each in service.get("volumes", ())]

    named = {source for source, *_ in mounts if not source.startswith(".")}
    assert named == set(WHOLE["volumes"])
    assert {mode for source, _, *modes in mounts if source.startswith(".") for mode in modes or ["rw"]} == {"ro"}
    assert [source for source, *_ in mounts if source.startswith(".") and not (ROOT / source).exists()] == []


def test_no_secret_stands_in_the_file() -> None:
    with pytest.raises(MissingVariable, match=r"\.env"):
        compose.read({})
    demo = {
        f"MIDSTREAM_{exchange.upper()}_API_{part}": value
        for exchange in ("binance", "bybit", "bitmex")
        for part, value in (("KEY", demo_account(exchange).api_key), ("SECRET", demo_account(exchange).secret))
    }
    written = {
        name: value
        for service in yaml.safe_load(TEXT)["services"].values()
        for name, value in service.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|_KEY$|TOKEN|_URL$", name)
    }
    literal = {name: value for name, value in written.items() if "${" not in value and "://127.0.0.1:" not in value}
    # Keys of simulators, where everybody knows them.
    assert literal == demo
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_command_at_the_head_writes_every_variable(tmp_path: Path) -> None:
    (command,) = re.findall(r"^#   (printf .*)$", TEXT, re.MULTILINE)

    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=60)

    written = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert {len(value) for value in written.values()} == {48}
    assert compose.read(written)["services"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("${A}", "1", id="plain"),
        pytest.param("${B}", "", id="not set"),
        pytest.param("${B:-two}", "two", id="default"),
        pytest.param("x$$A", "x$A", id="dollar"),
    ],
)
def test_variables_are_put_in_as_compose_does(text: str, value: str) -> None:
    assert interpolated(text, {"A": "1"}) == value
