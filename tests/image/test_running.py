"""The image as an orchestrator runs it: hardened, probed, wounded, stopped."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import midstream
from tests.support.image_box import DATA, Box, Image
from tests.support.imports import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(300)]
START_S = 120.0
GRACE_S = 30.0
"""What orchestrators give by default: Kubernetes 30, ECS 30."""
SAMPLE = "data/historical_sample.csv"
SERVERS = {"replay": 50051, "control": 50052, "price": 50053, "health": 50054}
# Asks without our own command, which is judged by it.
ASK = """
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
for port in sys.argv[1:]:
    stub = health_pb2_grpc.HealthStub(grpc.insecure_channel("127.0.0.1:" + port))
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=3).status
    except grpc.RpcError as exc:
        answer = exc.code()
    print(port, answer, flush=True)
"""
PROBE = """
import os, pathlib
for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    if line.split(":")[0] in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"):
        print(*line.replace(":", "").split())
print("interfaces", *sorted(os.listdir("/sys/class/net") if os.path.exists("/sys/class/net") else
    [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]))
for path in ("/x", "/opt/midstream/x", "/opt/midstream/bin/midstream", "/etc/passwd", "/usr/bin/python3", "/var/lib/x", "/dev/x"):
    try:
        open(path, "ab").close()
        print("written", path)
    except OSError as exc:
        print("refused", path, exc.errno)
for path in ("/tmp/x", "/var/lib/midstream/x"):
    open(path, "wb").close()
    os.unlink(path)
"""


def serving(box: Box, *names: str) -> bool:
    """Whether each of these servers says so, or each of the four."""
    ports = [str(SERVERS[each]) for each in names or SERVERS]
    lines = box.run("python", "-c", ASK, *ports).stdout.splitlines()
    return lines == [f"{port} 1" for port in ports]


@contextlib.contextmanager
def fleet(image: Image, place: Path) -> Iterator[Box]:
    """The image as it is by default, until every server serves."""
    with Box(image, place / "data") as box:

        def up() -> bool:
            assert box.process.poll() is None, box.output()
            return serving(box)

        wait_until(up, timeout_s=START_S, what="every server in the image")
        yield box


def test_it_has_no_rights_and_writes_nowhere_but_where_it_may(image: Image, tmp_path: Path) -> None:
    with Box(image, tmp_path / "data", "-c", PROBE, entrypoint=["python"]) as box:
        code = box.wait(60)

    lines = box.output().splitlines()
    assert code == 0, box.output()
    facts = {line.split()[0]: line.split()[1:] for line in lines if not line.startswith(("refused", "written"))}
    assert facts["Uid"] == facts["Gid"] == ["10001"] * 4
    assert facts["Groups"] == []
    rights = [facts[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
    assert rights == [["0" * 16]] * 5
    assert facts["NoNewPrivs"] == ["1"]
    assert facts["interfaces"] == ["lo"]
    assert [line for line in lines if line.startswith("written")] == []
    assert len([line for line in lines if line.startswith("refused")]) == 7


def test_it_replays_as_the_checkout_does_byte_for_byte(image: Image, tmp_path: Path) -> None:
    # By the same relative path, since lines about bad rows name their file.
    sample = tmp_path / "data" / SAMPLE
    sample.parent.mkdir(parents=True)
    shutil.copy(ROOT / SAMPLE, sample)
    sample.chmod(0o644)

    with Box(image, tmp_path / "data", "replay", SAMPLE, "--out", f"{DATA}/out") as box:
        code = box.wait(START_S)
    here = midstream("replay", SAMPLE, "--out", tmp_path / "here")

    assert (code, here.code) == (0, 0), box.output()
    for name in ("mid_prices.log", "errors.log"):
        made = (tmp_path / "data/out" / name).read_bytes()
        assert made == (tmp_path / "here" / name).read_bytes() == (ROOT / "data/sample_output" / name).read_bytes()
        assert made


def test_its_servers_serve_are_probed_and_are_started_again_when_killed(image: Image, tmp_path: Path) -> None:
    with fleet(image, tmp_path) as box:
        status = box.run("midstream", "status")
        assert status.returncode == 0, status.stderr

        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        probe = box.run("midstream", "healthcheck")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert probe.returncode == 0, probe.stdout + probe.stderr
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0

        (hung,) = box.pids("-m services.control")
        os.kill(hung, signal.SIGSTOP)
        try:
            stopped = box.run("midstream", "healthcheck")
        finally:
            os.kill(hung, signal.SIGCONT)
        assert stopped.returncode == 1, stopped.stdout + stopped.stderr
        assert "control" in stopped.stdout + stopped.stderr
        wait_until(lambda: box.run("midstream", "healthcheck").returncode == 0, timeout_s=START_S, what="health again")

        for words in ("-m services.control", "-m services.replay.engine", "-m services.price"):
            killed = set(box.pids(words))
            assert killed, words
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            wait_until(
                lambda words=words, killed=killed: bool(set(box.pids(words)) - killed),
                timeout_s=START_S,
                what=f"another {words}",
            )
            wait_until(lambda: serving(box), timeout_s=START_S, what=f"servers after the death of {words}")
        assert box.process.poll() is None, box.output()


def test_it_stops_within_its_grace_and_leaves_nothing_behind(image: Image, tmp_path: Path) -> None:
    with fleet(image, tmp_path) as box:
        # Held open, so that it can be looked into when its namespace has gone.
        scratch = os.open(f"/proc/{box.first}/root/tmp", os.O_RDONLY | os.O_DIRECTORY)
        try:
            running = os.listdir(scratch)
            asked_s = time.monotonic()
            os.kill(box.first, signal.SIGTERM)
            code = box.wait(GRACE_S)
            took_s = time.monotonic() - asked_s
            left = os.listdir(scratch)
        finally:
            os.close(scratch)

    assert code == 0, box.output()
    assert took_s < GRACE_S
    assert running != []
    assert left == []


@pytest.mark.parametrize(
    "name", ["replay", "control", "price", "health", "orders", "reporting", "power-listener", "power-etl"]
)
def test_every_server_starts_by_its_name_and_stops_alone(image: Image, tmp_path: Path, name: str) -> None:
    with Box(image, tmp_path / "data", "serve", name) as box:
        wait_until(
            lambda: box.process.poll() is not None or "Ctrl-C stops" in box.output(),
            timeout_s=START_S,
            what=f"start of {name}",
        )
        assert box.process.poll() is None, box.output()
        os.kill(box.first, signal.SIGTERM)
        assert box.wait(GRACE_S) == 0, box.output()


def test_it_knows_parameter_store_tokens_and_traces(image: Image, tmp_path: Path) -> None:
    uses = (
        "import boto3, jwt, cryptography.x509, opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http.trace_exporter\n"
        "boto3.client('ssm', region_name='eu-central-1'); boto3.client('sts', region_name='eu-central-1')\n"
        "import ssl; assert len(ssl.create_default_context().get_ca_certs()) > 50\n"
        "import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin')\n"
    )

    with Box(image, tmp_path / "data", "-W", "error", "-c", uses, entrypoint=["python"]) as box:
        assert box.wait(60) == 0, box.output()
