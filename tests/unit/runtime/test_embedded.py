"""The private Redis: found, started, explained when it fails, and gone when we are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from services.runtime import embedded
from services.runtime.connection import connect
from services.runtime.embedded import EmbeddedRedis
from services.runtime.errors import StartRefused
from services.runtime.preflight import read_facts
from services.runtime.redis_binary import Engine
from tests.support.waiting import is_gone, wait_until


def _program(directory: Path, name: str, body: str = "exit 0") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.quick
def test_started_redis_is_private_never_evicts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path, append_only=False)
    client = connect(server.url, client_name="test")
    socket_path = Path(server.url.removeprefix("unix://"))

    facts = read_facts(client)
    port = client.config_get("port")
    client.close()
    mode = socket_path.stat().st_mode & 0o777
    assert len(os.fsencode(socket_path)) <= 107
    server.stop()

    assert (facts.maxmemory_policy, facts.append_only, facts.role) == ("noeviction", False, "master")
    assert port == {b"port": b"0"} or port == {"port": "0"}
    assert mode == 0o700
    assert server.poll() == 0
    assert not socket_path.parent.exists()
    assert is_gone(server.pid)
    assert server.log_path.is_file()


def test_append_only_file_survives_a_kill(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path, append_only=True)
    client = connect(server.url, client_name="test")
    client.set("key", "kept")
    assert client.config_get("appendfsync") in ({b"appendfsync": b"everysec"}, {"appendfsync": "everysec"})
    client.close()
    os.kill(server.pid, signal.SIGKILL)
    server.stop()

    again = EmbeddedRedis.start(tmp_path, append_only=True)
    client = connect(again.url, client_name="test")
    try:
        assert client.get("key") == b"kept"
    finally:
        client.close()
        again.stop()


def test_redis_that_ends_at_once_is_explained_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(StartRefused) as caught:
        EmbeddedRedis.start(tmp_path, append_only=False, extra=("--no-such-option", "1"))

    assert "no-such-option" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_redis_that_does_not_answer_is_given_up_after_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program(tmp_path / "bin", "redis-server", "echo waiting for nothing; exec sleep 60")
    monkeypatch.setattr(embedded, "find_engine", lambda: Engine(program, "redis", (7, 0, 15)))
    monkeypatch.setattr(embedded, "START_S", 0.2)

    with pytest.raises(StartRefused, match=r"does not answer after 0\.2 s: .*waiting for nothing"):
        EmbeddedRedis.start(tmp_path / "data", append_only=False)


def test_long_directory_names_do_not_matter(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 100) / ("y" * 100)

    server = EmbeddedRedis.start(directory, append_only=True)
    server.stop()

    assert (directory / "redis.log").is_file()


PARENT = """
import sys, threading
from pathlib import Path
from services.runtime.embedded import EmbeddedRedis
print(EmbeddedRedis.start(Path(sys.argv[1]), append_only=False).pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.quick
def test_redis_dies_with_a_killed_parent(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.kill()

        wait_until(lambda: is_gone(pid), what="the end of Redis")


def test_redis_dies_with_a_killed_parent_where_the_kernel_does_not_help(tmp_path: Path) -> None:
    parent_without_prctl = "from services.runtime import parent_death\nparent_death._libc = None\n" + PARENT
    with subprocess.Popen(
        [sys.executable, "-c", parent_without_prctl, str(tmp_path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.kill()

        wait_until(lambda: is_gone(pid), what="the end of Redis")


def test_redis_started_from_a_thread_outlives_that_thread(tmp_path: Path) -> None:
    servers: list[EmbeddedRedis] = []
    thread = threading.Thread(target=lambda: servers.append(EmbeddedRedis.start(tmp_path, append_only=False)))
    thread.start()
    thread.join()

    client = connect(servers[0].url, client_name="test")
    try:
        assert client.ping() is True
    finally:
        client.close()
        servers[0].stop()


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path, append_only=False)

    server.stop()
    server.stop()

    assert server.poll() is not None


def test_redis_starts_beside_a_busy_grpc_server(tmp_path: Path) -> None:
    program = (
        "import sys, grpc\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from pathlib import Path\n"
        "from services.runtime.embedded import EmbeddedRedis\n"
        "server = grpc.server(ThreadPoolExecutor(1))\n"
        "port = server.add_insecure_port('127.0.0.1:0')\n"
        "server.start()\n"
        "channel = grpc.insecure_channel(f'127.0.0.1:{port}')\n"
        "grpc.channel_ready_future(channel).result(10)\n"
        "for number in range(3):\n"
        "    EmbeddedRedis.start(Path(sys.argv[1]) / str(number), append_only=False).stop()\n"
    )

    outcome = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )

    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_what_a_killed_redis_left_behind_is_removed_by_the_next_start(tmp_path: Path) -> None:
    killed = EmbeddedRedis.start(tmp_path / "killed", append_only=False)
    neighbour = EmbeddedRedis.start(tmp_path / "neighbour", append_only=False)
    left_behind = Path(killed.url.removeprefix("unix://")).parent
    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: killed.poll() is not None, what="the end of Redis")
    assert left_behind.exists()
    for url in (killed.url, neighbour.url):
        os.utime(Path(url.removeprefix("unix://")).parent, (0, 0))

    EmbeddedRedis.start(tmp_path / "next", append_only=False).stop()

    assert not left_behind.exists()
    assert Path(neighbour.url.removeprefix("unix://")).exists()
    neighbour.stop()


def test_restart_in_the_same_directory_has_the_same_url(tmp_path: Path) -> None:
    first = EmbeddedRedis.start(tmp_path, append_only=True)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: first.poll() is not None, what="the end of Redis")

    second = EmbeddedRedis.start(tmp_path, append_only=True)
    first.stop()

    client = connect(first.url, client_name="test")
    try:
        assert client.ping() is True
    finally:
        client.close()
        second.stop()


def test_second_redis_on_the_same_files_is_refused(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path, append_only=True)

    with pytest.raises(StartRefused, match="in use by the Redis of another process"):
        EmbeddedRedis.start(tmp_path, append_only=True)

    client = connect(server.url, client_name="test")
    assert client.ping() is True
    client.close()
    server.stop()


def test_socket_directory_that_is_not_ours_alone_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_short_temp_directory", lambda: tmp_path)
    usual = embedded._socket_directory(tmp_path / "data")
    usual.chmod(0o777)

    chosen = embedded._socket_directory(tmp_path / "data")

    assert chosen != usual
    assert chosen.stat().st_mode & 0o777 == 0o700
