"""docs/tls.md: its certificates, its settings, its calls, one after the other in one folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from protos.control.v1.control_pb2 import WatchStateRequest
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from tests.support.cli import ROOT, command
from tests.support.grpcurl import go_tool
from tests.support.missing_tools import tool
from tests.support.pages import shell_lines
from tests.support.ports import free_port
from tests.support.serving import Serving
from tests.support.tls import Authority
from tests.support.waiting import wait_until

PAGE = (ROOT / "docs" / "tls.md").read_text(encoding="utf-8")
PATIENCE_S = 60.0


def lines(heading: str) -> list[str]:
    """Return the commands under a heading."""
    return shell_lines(PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0])


def exported(found: list[str]) -> dict[str, str]:
    """Return what `export` lines set."""
    words = [word for line in found if line.startswith("export ") for word in shlex.split(line)[1:]]
    return dict(word.split("=", 1) for word in words)


@dataclass(frozen=True)
class Desk:
    """The servers of the page, and the folder that its reader stands in."""

    folder: Path
    serving: Serving
    ports: dict[str, int]

    def run(self, line: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run one line of the page against the ports of this test."""
        for documented, port in self.ports.items():
            line = re.sub(rf"(?<=localhost:){documented}\b", str(port), line)
        program, *arguments = shlex.split(line)
        argv = command(*arguments) if program == "midstream" else [tool(program) or go_tool(program), *arguments]
        control = {"MIDSTREAM_CONTROL_PORT": str(self.ports["50052"]), "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            argv,
            cwd=self.folder,
            env={**os.environ, **control, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("tls")
    for line in lines("Certificates"):
        subprocess.run(line, shell=True, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
    settings = {
        name: str(folder / value) if value.endswith(".pem") else value
        for name, value in exported(lines("Servers")).items()
    }
    ports = {"51052": free_port(), "9152": free_port()}
    environment = {
        **settings,
        "MIDSTREAM_CONTROL_ADMIN_PORT": str(ports["51052"]),
        "MIDSTREAM_CONTROL_METRICS_PORT": str(ports["9152"]),
        "MIDSTREAM_REPLAY_ADMIN_PORT": str(free_port()),
        "MIDSTREAM_HEALTH_ADMIN_PORT": str(free_port()),
        # Otherwise what starts them would ask, which has no certificate.
        "MIDSTREAM_REDIS_URL": "",
    }
    with guarded(folder / "out", environment) as serving:
        ports["50052"] = serving.ports["control"]
        ports["50054"] = serving.ports["health"]
        yield Desk(folder, serving, ports)


def guarded(out: Path, environment: dict[str, str]) -> GuardedServing:
    return GuardedServing(out, environment=environment, names=("replay", "control", "health", "sim-feed"))


class GuardedServing(Serving):
    """Servers that this test calls as the page does."""

    def control_state_url(self) -> str:
        return ""

    def __enter__(self) -> GuardedServing:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        self.kill()


@pytest.mark.needs("openssl", "grpcurl")
def test_the_calls_of_the_page_work(desk: Desk) -> None:
    called = [line for line in lines("Calls") if not line.startswith("export ")]
    assert [line.split()[0] for line in called] == ["grpcurl", "curl", "midstream", "midstream"]
    grpcurl, curl, by_options, by_environment = called

    state = desk.run(grpcurl)
    metrics = desk.run(curl)
    status = desk.run(by_options)
    settings = exported(lines("Calls"))
    again = desk.run(by_environment, {name: str(desk.folder / value) for name, value in settings.items()})

    assert '"session": "default"' in state.stdout, state.stderr
    assert "midstream_tls_certificate_not_after_seconds" in metrics.stdout, metrics.stderr
    assert "midstream_tls_files_unusable 0" in metrics.stdout
    assert "session    default" in status.stdout, status.stderr
    assert again.stdout.splitlines()[0] == status.stdout.splitlines()[0], again.stderr


@pytest.mark.needs("openssl", "grpc-health-probe")
def test_the_probes_of_the_page_find_it_serving(desk: Desk) -> None:
    plain, called, mutual = lines("Probes")

    assert "status: SERVING" in (probed := desk.run(plain)).stdout + probed.stderr
    assert '"status": "SERVING"' in (probed := desk.run(called)).stdout, probed.stderr
    assert "status: SERVING" in (probed := desk.run(mutual)).stdout + probed.stderr


@pytest.mark.needs("openssl")
def test_without_a_certificate_a_command_says_which_option_helps(desk: Desk) -> None:
    bare = desk.run("midstream status --cacert ca.pem")

    assert bare.returncode == 2
    assert "wants a client certificate: use --cert FILE and --key FILE" in bare.stderr


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("shown", "code", "told"),
    [
        ("ops", 0, "paused, revision"),
        ("feed", 2, "this needs role control; uri:spiffe://desk/feed has read (PERMISSION_DENIED)"),
        ("server", 2, "the caller did not say who it is; this server takes a client certificate whose name has a role"),
    ],
)
def test_a_name_may_do_what_its_roles_say(desk: Desk, shown: str, code: int, told: str) -> None:
    done = desk.run(f"midstream pause --cacert ca.pem --cert {shown}.pem --key {shown}-key.pem")

    assert done.returncode == code, done.stderr
    assert told in done.stdout + done.stderr


@pytest.mark.needs("openssl")
def test_a_stream_ends_with_the_certificate_that_it_began_with(desk: Desk) -> None:
    pair = Authority.of(desk.folder / "ca.pem", desk.folder / "ca-key.pem").pair(
        "ops.internal", after=datetime.now(UTC) + timedelta(seconds=8)
    )
    credentials = grpc.ssl_channel_credentials((desk.folder / "ca.pem").read_bytes(), pair.key, pair.chain)
    with grpc.secure_channel(f"localhost:{desk.ports['50052']}", credentials) as channel:
        watch = ControlServiceStub(channel).WatchState(WatchStateRequest(), timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError) as caught:
            list(watch)

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.needs("openssl", "grpcurl")
def test_the_health_server_needs_no_certificate_to_see_the_others(desk: Desk) -> None:
    line = "grpcurl -cacert ca.pem -cert ops.pem -key ops-key.pem localhost:50054 midstream.health.v1.HealthService/GetReport"

    def servers() -> dict[str, str]:
        report = json.loads(desk.run(line).stdout)["report"]
        return {each["name"]: each["status"] for each in report["checks"] if each["name"] in ("replay", "control")}

    wait_until(lambda: servers() == dict.fromkeys(("replay", "control"), "STATUS_OK"), what="a report that is well")


@pytest.mark.needs("openssl", "grpcurl")
def test_what_serve_prints_is_where_it_is_and_what_to_type(desk: Desk) -> None:
    text = desk.serving.log.read_text()

    assert f"grpcs://127.0.0.1:{desk.ports['50052']}" in text
    assert f"metrics https://127.0.0.1:{desk.ports['9152']}/metrics" in text
    assert f"health grpc://127.0.0.1:{desk.ports['51052']}" in text
    [suggested] = [line.strip() for line in text.splitlines() if line.strip().startswith("grpcurl ")]
    answer = desk.run(suggested.replace("client", "ops"))
    assert '"mode": "MODE_LIVE"' in answer.stdout, answer.stderr


@pytest.mark.needs("openssl")
def test_the_example_in_python_streams_with_certificates(desk: Desk) -> None:
    settings = {name: str(desk.folder / value) for name, value in exported(lines("Calls")).items()}
    example = ROOT / "examples" / "python" / "stream_ticks.py"

    done = subprocess.run(
        [sys.executable, example, f"localhost:{desk.serving.ports['replay']}", "1000"],
        env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "first=1 " in done.stdout
