"""`midstream mode | status | pause | resume | speed` against a control server: sentences, JSON, errors and exit codes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.rpc import ControlClient
from tests.integration.control.harness import EngineStandIn
from tests.support.cli import midstream, midstream_here
from tests.support.ports import free_port
from tests.support.redis_server import RedisForTests, forget_session, fresh_session_name
from tests.support.server_process import ServerProcess, server_process


@pytest.fixture(scope="module")
def session() -> str:
    return fresh_session_name()


@pytest.fixture(scope="module")
def server(
    shared_redis: RedisForTests, session: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    directory: Path = tmp_path_factory.mktemp("control")
    with server_process("control", directory, REDIS_URL=shared_redis.url, SESSION=session) as running:
        yield running


@pytest.fixture
def engine(
    shared_redis: RedisForTests, session: str, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EngineStandIn]:
    """An engine that applies what comes, and an environment that names its control server."""
    monkeypatch.setenv("MIDSTREAM_CONTROL_PORT", str(server.announcement["port"]))
    stand_in = EngineStandIn(shared_redis.url, session)
    stopping = threading.Event()

    def follow() -> None:
        while not stopping.wait(0.005):
            stand_in.apply()

    thread = threading.Thread(target=follow)
    thread.start()
    yield stand_in
    stopping.set()
    thread.join()
    client = shared_redis.client()
    forget_session(client, session)
    client.close()
    stand_in.close()


@pytest.mark.quick
def test_every_command_says_what_is_now_in_effect(engine: EngineStandIn, session: str) -> None:
    said = [
        midstream_here(*arguments, "--session", session)
        for arguments in (
            ("mode", "live"),
            ("mode", "live"),
            ("pause",),
            ("resume",),
            ("speed", "50"),
            ("speed", "max"),
            ("mode", "historical"),
        )
    ]

    assert [(done.code, done.stdout) for done in said] == [
        (0, "live (was historical), revision 1\n"),
        (0, "live (was live), revision 1\n"),
        (0, "paused, revision 2\n"),
        (0, "running, revision 3\n"),
        (0, "speed 50x, revision 4\n"),
        (0, "speed max, revision 5\n"),
        (0, "historical (was live), revision 6\n"),
    ]


def test_json_is_one_object_and_all_there_is_on_stdout(engine: EngineStandIn, session: str, redis_url: str) -> None:
    mode = midstream_here("mode", "live", "--session", session, "--json")
    status = midstream_here("status", "--session", session, "--json")

    said = json.loads(mode.stdout)
    # The server remembers the revisions it gave, also those of a session whose keys are gone.
    assert said.pop("revision") > 0
    assert said == {"previous_mode": "historical", "mode": "live"}
    figures = json.loads(status.stdout)
    assert (figures["session"], figures["mode"], figures["redis_url"]) == (session, "live", redis_url)
    assert (mode.stderr, status.stderr) == ("", "")


def test_without_a_session_the_server_s_own_is_meant(
    engine: EngineStandIn, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = midstream_here("status", "--json")
    monkeypatch.setenv("MIDSTREAM_SESSION", "nobody")
    by_variable = midstream_here("status")
    by_option = midstream_here("status", "--session", session, "--json")

    assert json.loads(status.stdout)["session"] == json.loads(by_option.stdout)["session"] == session
    assert (by_variable.code, by_variable.stdout) == (2, "")
    assert "`nobody` is not known" in by_variable.error_line


def test_status_says_when_its_report_is_old(engine: EngineStandIn) -> None:
    engine.publish(reported_time_ns=time.time_ns() - 90_000_000_000)

    shown = midstream_here("status").stdout
    figures = json.loads(midstream_here("status", "--json").stdout)

    assert "s ago: the above is old" in shown
    assert 90 <= figures["report_age_s"] < 120


def test_status_shows_what_matters(engine: EngineStandIn, session: str, redis_url: str) -> None:
    engine.publish(error="the feed is silent", last_sequence=1234567)

    lines = midstream_here("status", "--session", session).stdout.splitlines()

    shown = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines}
    assert shown["session"] == session
    assert shown["published"] == "1,234,567 records"
    assert shown["Redis"] == redis_url
    assert shown["error"] == "the feed is silent"


def test_mistakes_of_the_caller_take_one_line_and_exit_with_2(engine: EngineStandIn, session: str) -> None:
    engine.publish(live_configured=False)

    live = midstream_here("mode", "live", "--session", session)
    nobody = midstream_here("pause", "--session", "nobody")

    assert (live.code, live.stdout) == (2, "")
    assert "MIDSTREAM_LIVE_URL" in live.error_line
    assert (nobody.code, nobody.stdout) == (2, "")
    assert "`nobody` is not known" in nobody.error_line


def test_without_a_server_the_line_names_address_and_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MIDSTREAM_CONTROL_PORT", str(port))

    done = midstream_here("status")

    assert (done.code, done.stdout) == (1, "")
    assert f"127.0.0.1:{port}" in done.error_line
    assert "midstream serve" in done.error_line


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        pytest.param(("mode", "sideways"), "'historical', 'live'", id="mode"),
        pytest.param(("speed", "fast"), "max", id="speed word"),
        pytest.param(("speed", "nan"), "max", id="NaN"),
        pytest.param(("speed", "0"), "above 0", id="zero"),
        pytest.param(("speed", "1e7"), "1e+06", id="too fast"),
        pytest.param(("status", "--session", "a b"), "A-Z", id="session"),
        pytest.param(("serve", "relpay"), "sim-feed", id="unknown server"),
    ],
)
def test_wrong_arguments_are_refused_with_the_legal_ones(arguments: tuple[str, ...], part: str) -> None:
    done = midstream_here(*arguments)

    assert (done.code, done.stdout) == (2, "")
    assert part in done.error_line


@pytest.mark.parametrize("command", ["replay", "serve", "mode", "status", "pause", "resume", "speed", "inspect"])
def test_every_command_explains_itself(command: str) -> None:
    done = midstream_here(command, "--help")

    assert done.code == 0
    assert "Usage: midstream " + command in done.stdout


def test_typed_client_makes_a_request_id_of_its_own_for_every_change(
    engine: EngineStandIn, server: ServerProcess
) -> None:
    with ControlClient(f"127.0.0.1:{server.announcement['port']}") as client:
        client.set_mode("live")
        client.pause()
        client.resume()
        client.set_speed(7)
        assert client.state().speed == 7

    ids = [intent["request_id"] for intent in engine.journal()]
    assert len(set(ids)) == 4
    assert all(ids)


def test_server_on_an_ipv6_address_is_reached(
    engine: EngineStandIn, redis_url: str, session: str, tmp_path: Path
) -> None:
    settings = {"REDIS_URL": redis_url, "SESSION": session, "HOST": "::1"}
    with server_process("control", tmp_path, **settings) as server:
        surroundings = {"MIDSTREAM_HOST": "::1", "MIDSTREAM_CONTROL_PORT": str(server.announcement["port"])}

        done = midstream("status", "--session", session, "--json", environment=surroundings)

    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["session"] == session
