"""`midstream replay` and `midstream serve` killed as a whole and in parts, and the paths that are cold on most machines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from services.cli.servers import SERVERS
from services.runtime.child_python import module_command
from tests.reference.history import Expected, expected_outputs
from tests.support.chaos import MODULES, assert_logs_exact, can_see_processes, children_of, engine_of
from tests.support.cli import assert_exact, kill, midstream, replay, start_replay, until
from tests.support.history_files import Quirks, write_files
from tests.support.ports import taken_port
from tests.support.serving import SERVERS as CORE
from tests.support.serving import Serving, serving
from tests.support.waiting import is_gone, wait_until

pytestmark = pytest.mark.skipif(not can_see_processes(), reason="engines are found through /proc")

DIES_WITHIN_S = 2.0


def write_history(directory: Path, seed: int, rows: int, *, step_us: int = 2_000) -> tuple[list[str], Expected]:
    directory.mkdir(parents=True)
    files = write_files(directory, Random(seed), 2, quirks=[Quirks(rows=rows, step_us=step_us, negative=0.05)])
    return files, expected_outputs(files)


def below(pid: int) -> list[int]:
    """Every process that descends from `pid`."""
    found = children_of(pid)
    return found + [one for child in found for one in below(child)]


def logged(out: Path) -> int:
    return sum(path.stat().st_size for path in (out / "mid_prices.log", out / "errors.log") if path.exists())


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.long)])
def test_replay_killed_as_a_whole_leaves_no_process_and_resumes_exactly(tmp_path: Path, kills: int) -> None:
    seed = 31
    random = Random(seed)
    files, expected = write_history(tmp_path / "in", seed, 1_500 * (kills + 1))
    out = tmp_path / "out"
    for again in range(kills):
        process = start_replay(files, out, "--speed", "2", *(["--resume"] if again else []))
        try:
            least = logged(out) + random.randrange(1, 60_000)
            until(lambda least=least: process.poll() is not None or logged(out) >= least, what="output")  # noqa: B023
            assert process.poll() is None
            family = below(process.pid)
            # Redis, two servers, two engines.
            assert len(family) >= 5
            process.kill()
            wait_until(lambda: all(map(is_gone, family)), timeout_s=DIES_WITHIN_S, what="the end of every child")  # noqa: B023
        finally:
            kill(process)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        for name, wanted in (("mid_prices.log", expected.mid_log), ("errors.log", expected.error_log)):
            assert wanted.startswith((out / name).read_bytes())

    assert_exact(replay(files, out, "--speed", "2", "--resume"), expected)


def processes(servers: Serving) -> dict[str, int]:
    """Process ids of everything below one `serve` by name; the ones that are just being restarted are missing."""
    found = {}
    for pid in children_of(servers.process.pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "redis" in Path(words[0]).name:
                found["redis"] = pid
            # A launcher names its target too, before it turns into it.
            for name, server in SERVERS.items():
                module = server.module
                if words[1:4] == module_command(module)[1:]:
                    found[name] = pid
                    if name in MODULES and (engine := engine_of(pid, module)) is not None:
                        found[f"{name} engine"] = engine
    return found


def test_serve_restarts_whatever_is_killed_and_the_logs_stay_exact(tmp_path: Path) -> None:
    files, expected = write_history(tmp_path / "in", 41, 6_000)
    out = tmp_path / "out"
    with serving(out, HISTORICAL=",".join(files), SPEED="0.5") as servers:
        victims = set(processes(servers))
        assert victims == {"redis", *CORE, "sim-feed", "replay engine", "price engine"}
        for name in sorted(victims):
            pid = until(lambda name=name: processes(servers).get(name), what=f"{name} running")
            os.kill(pid, signal.SIGKILL)
            until(lambda name=name, pid=pid: processes(servers).get(name, pid) != pid, what=f"another {name}")
        least = logged(out)
        until(lambda: logged(out) > least, what="ticks after it")
        _change_speed(servers)
        last = servers.wait_state("COMPLETED")["last_sequence"]
        sink = servers.wait_committed(last)
        for name in ("replay", "control", "price", "health"):
            until(lambda name=name: name in processes(servers), what=f"{name} running")

    assert_logs_exact(out, expected)
    assert sink["digest"] == expected.digest


def _change_speed(servers: Serving) -> None:
    """As an operator does who has just seen the control server come back."""

    def answered() -> bool:
        return servers.midstream("speed", "max").code == 0

    until(answered, what="an answer of the control server")


def test_serve_gives_up_when_its_only_server_keeps_dying(tmp_path: Path) -> None:
    servers = Serving(tmp_path / "out", environment={}, names=("control",))
    try:
        seen = set()
        for _ in range(6):
            pid = until(
                lambda: processes(servers).get("control") or servers.process.poll() is not None, what="a control server"
            )
            seen.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until(
                lambda pid=pid: servers.process.poll() is not None or processes(servers).get("control", pid) != pid,
                what="another control server",
            )
        assert servers.process.wait(20) == 1
        assert len(seen) == 6
        assert "gave up" in servers.log.read_text()
    finally:
        servers.kill()


@pytest.mark.long
def test_redis_suspended_under_load_changes_nothing(tmp_path: Path) -> None:
    """Longer than a client waits for an answer, so every connection is given up and made again."""
    files, expected = write_history(tmp_path / "in", 51, 6_000)
    out = tmp_path / "out"
    with serving(out, HISTORICAL=",".join(files), SPEED="1") as servers:
        until(lambda: logged(out) > 1_000, what="the first lines")
        redis_pid = processes(servers)["redis"]
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            # Nothing can be awaited here: what matters is that time passes for the clients.
            time.sleep(6.5)
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        least = logged(out)
        until(lambda: logged(out) > least, what="ticks after it")
        assert processes(servers)["redis"] == redis_pid
        _change_speed(servers)
        servers.wait_committed(servers.wait_state("COMPLETED")["last_sequence"])

    assert_logs_exact(out, expected)


@pytest.mark.long
def test_without_redis_on_path_the_one_that_was_brought_along_does(tmp_path: Path) -> None:
    files, expected = write_history(tmp_path / "in", 61, 1_000)
    (tmp_path / "bin").mkdir()

    done = midstream("replay", *files, "--out", tmp_path / "out", "--json", environment={"PATH": str(tmp_path / "bin")})

    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["order_digest"] == expected.digest
    assert_logs_exact(tmp_path / "out", expected)


def test_serve_on_a_port_that_is_taken_ends_with_one_line_and_leaves_nothing_running(tmp_path: Path) -> None:
    with taken_port() as port:
        done = midstream(
            "serve",
            "control",
            environment={"MIDSTREAM_OUT": str(tmp_path / "out"), "MIDSTREAM_CONTROL_PORT": str(port)},
        )

    assert done.code == 2
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
