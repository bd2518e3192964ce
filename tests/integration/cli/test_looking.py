"""`midstream health | sessions | lag | tail` against running servers, and against answers that running servers seldom give."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
import pytest

from protos.health.v1 import health_pb2 as pb
from protos.health.v1.health_pb2_grpc import HealthServiceServicer, add_HealthServiceServicer_to_server
from protos.replay.v1 import replay_pb2
from protos.replay.v1.replay_pb2_grpc import ReplayServiceServicer, add_ReplayServiceServicer_to_server
from services.cli.output import ExitCode
from tests.support.cli import PATIENCE_S, ROOT, Completed, clean_environment, command, midstream_here, until
from tests.support.pages import shell_lines
from tests.support.serving import Serving, serving

SAMPLE_ROWS = 20_007


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("looking"), ("replay", "control", "price", "health")) as running:
        running.wait_committed(SAMPLE_ROWS)
        yield running


def environment_of(servers: Serving) -> dict[str, str]:
    return {name: value for name, value in servers.environment.items() if name.endswith("_PORT")}


def ask(servers: Serving, *typed: str, **more: str) -> Completed:
    return here(*typed, environment=environment_of(servers) | more)


def here(*typed: str, environment: Mapping[str, str]) -> Completed:
    """Run a command inside this process."""
    with mock.patch.dict(os.environ, clean_environment(environment), clear=True):
        return midstream_here(*typed)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def wait_until_all_is_well(servers: Serving) -> None:
    until(lambda: set(servers.statuses().values()) == {pb.STATUS_OK}, what="all is well")


def test_health_of_servers_that_are_well(servers: Serving) -> None:
    wait_until_all_is_well(servers)

    shown, told = ask(servers, "health", COLUMNS="500"), ask(servers, "health", "--json")

    assert (shown.code, shown.stderr) == (0, "")
    first, *lines = shown.stdout.splitlines()
    assert re.fullmatch(r"ok  as of \d\d:\d\d:\d\d UTC", first)
    assert [line.split()[:2] for line in lines] == [["ok", name] for name in servers.statuses()]
    [report] = objects(told.stdout)
    assert (told.code, report["status"]) == (0, "ok")
    assert {check["name"]: check["status"] for check in report["checks"]} == dict.fromkeys(servers.statuses(), "ok")
    assert all(check["age_ms"] >= 0 for check in report["checks"])


def test_status_has_a_line_about_the_servers_and_says_its_age(servers: Serving) -> None:
    shown, told = ask(servers, "status"), ask(servers, "status", "--json")
    alone = ask(servers, "status", MIDSTREAM_HEALTH_PORT="1")

    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert lines["servers"] == "ok"
    assert lines["reported"].endswith(" s ago")
    assert json.loads(told.stdout)["health"] == "ok"
    assert (alone.code, "`midstream health` says why" in alone.stdout) == (0, True)


def test_sessions_are_listed_with_position_and_age(servers: Serving) -> None:
    shown, told = ask(servers, "sessions"), ask(servers, "sessions", "--json")

    heading, row = shown.stdout.splitlines()
    assert heading.split()[:5] == ["session", "mode", "state", "published", "revision"]
    assert row.split()[:5] == ["default", "historical", "completed", f"{SAMPLE_ROWS:,}", "0"]
    [found] = objects(told.stdout)[0]["sessions"]
    assert (found["name"], found["last_sequence"], found["mode"]) == ("default", SAMPLE_ROWS, "historical")
    assert found["report_age_s"] >= 0


def test_lag_names_the_group_and_price_s_own_position(servers: Serving) -> None:
    until(lambda: objects(ask(servers, "lag", "--json").stdout)[0]["sinks"], what="a report about the queue")

    shown, told = ask(servers, "lag"), ask(servers, "lag", "--json")

    [found] = objects(told.stdout)
    [group], [sink] = found["groups"], found["sinks"]
    assert (group["session"], group["group"], group["lag_records"], group["standing_ms"]) == ("default", "price", 0, 0)
    assert (sink["sink"], sink["sequence"], sink["lag_records"]) == ("price", SAMPLE_ROWS, 0)
    assert [line.split()[1:4] for line in shown.stdout.splitlines()[1:]] == [
        ["group", "price", "0"],
        ["sink", "price", "0"],
    ]


def test_tail_shows_every_record_once_in_order(servers: Serving) -> None:
    done = ask(servers, "tail", "--from-oldest", "--json", "-n", str(SAMPLE_ROWS))

    found = objects(done.stdout)
    assert (done.code, done.stderr) == (0, "")
    assert [each["sequence"] for each in found] == list(range(1, SAMPLE_ROWS + 1))
    assert {each["type"] for each in found} == {"tick", "rejection"}


def test_tail_of_mids_begins_where_it_is_told(servers: Serving) -> None:
    [first] = objects(ask(servers, "tail", "mids", "--from-oldest", "-n", "1", "--json").stdout)
    after = ask(servers, "tail", "mids", "--after", "100", "--epoch", first["epoch"], "-n", "2", "--json")
    other = ask(servers, "tail", "mids", "--after", "100", "--epoch", "gone", "-n", "2", "--json")

    assert first["type"] == "mid"
    assert all(each["sequence"] > 100 for each in objects(after.stdout))
    assert other.code == 2
    assert "epoch `gone` is over" in objects(other.stdout)[0]["error"]["message"]


def test_tail_keeps_to_tickers_and_to_the_last_records(servers: Serving) -> None:
    [newest] = objects(ask(servers, "tail", "--last", "1", "-n", "1", "--json").stdout)
    only = ask(servers, "tail", "--from-oldest", "--ticker", newest["ticker"], "-n", "5", "--json")

    assert newest["sequence"] == SAMPLE_ROWS
    assert {each["ticker"] for each in objects(only.stdout)} == {newest["ticker"]}


def test_lines_stand_in_columns_that_a_terminal_has_room_for(servers: Serving) -> None:
    wide, middle, narrow = (
        [
            line
            for line in ask(servers, "tail", "--from-oldest", "-n", "2000", COLUMNS=columns).stdout.splitlines()
            if not line.startswith("-- rejected")
        ]
        for columns in ("150", "90", "40")
    )

    assert len({line.index(" x ") for line in wide[-10:]}) == 1
    assert all(line.split()[1].startswith("2025-10-02") and " x " in line for line in wide)
    assert middle[0] == narrow[0] == "-- 2025-10-02"
    assert all(len(line) <= 90 for line in middle)
    assert len(narrow[1].split()) == 4


def test_a_session_that_gives_nothing_new_is_told(servers: Serving) -> None:
    with tail(servers) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=PATIENCE_S)

    assert "is completed, nothing new comes; --from-oldest or --last N" in line
    assert (process.returncode, rest) == (ExitCode.INTERRUPTED, "")


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
    ids=["Ctrl-C", "SIGTERM"],
)
@pytest.mark.parametrize(
    "typed",
    [("tail", "--last", "3"), ("health", "--watch"), ("lag", "--watch", "--json"), ("sessions", "--watch")],
    ids=" ".join,
)
def test_a_signal_ends_what_goes_on_without_a_word(
    servers: Serving, typed: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    with started(environment_of(servers), *typed) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, stderr) == (code, "")


def test_a_reader_that_goes_ends_tail_without_a_word(servers: Serving) -> None:
    with tail(servers, "--from-oldest") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=PATIENCE_S) == ExitCode.PIPE_CLOSED


@pytest.mark.parametrize(
    "typed",
    [("--session", "nobody"), ("--after", "99999999"), ("mids", "--session", "nobody")],
    ids=" ".join,
)
def test_what_is_not_there_is_refused(servers: Serving, typed: tuple[str, ...]) -> None:
    done = ask(servers, "tail", *typed)

    assert (done.code, done.stdout) == (2, "")
    assert done.error_line


@pytest.mark.long
def test_a_server_that_is_killed_costs_tail_no_record(tmp_path: Path) -> None:
    with serving(tmp_path, ("replay", "control", "price", "health"), SPEED="3") as running:
        with started(environment_of(running), "tail", "--from-oldest", "--json", "-n", str(SAMPLE_ROWS)) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(500)]
            os.kill(running.server_pid("replay"), signal.SIGKILL)
            # Not communicate(), which forgets what was buffered beside the lines above.
            rest = process.stdout.read()
            assert process.stderr is not None
            stderr = process.stderr.read()
            process.wait(timeout=PATIENCE_S)

    found = objects("".join(lines) + rest)
    assert [each["sequence"] for each in found] == list(range(1, SAMPLE_ROWS + 1))
    assert "going on in" in stderr
    assert process.returncode == 0


def started(environment: Mapping[str, str], *typed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*typed),
        cwd=ROOT,
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tail(servers: Serving, *typed: str) -> subprocess.Popen[str]:
    return started(environment_of(servers), "tail", *typed)


# Answers that are seldom given


class StandIn(HealthServiceServicer, ReplayServiceServicer):
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.report = pb.Report()
        self.sessions: list[replay_pb2.Session] = []

    def GetReport(self, request: Any, context: Any) -> pb.GetReportResponse:
        return pb.GetReportResponse(report=self.report)

    def ListSessions(self, request: replay_pb2.ListSessionsRequest, context: Any) -> replay_pb2.ListSessionsResponse:
        at = int(request.page_token or 0)
        more = str(at + 1) if at + 1 < len(self.sessions) else ""
        return replay_pb2.ListSessionsResponse(sessions=self.sessions[at : at + 1], next_page_token=more)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[tuple[StandIn, dict[str, str]]]:
    answers = StandIn()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    add_HealthServiceServicer_to_server(answers, server)
    add_ReplayServiceServicer_to_server(answers, server)
    port = str(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    yield answers, {"MIDSTREAM_HEALTH_PORT": port, "MIDSTREAM_REPLAY_PORT": port}
    server.stop(None).wait(timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        (pb.STATUS_OK, 0, "ok"),
        (pb.STATUS_DEGRADED, 1, "DEGRADED"),
        (pb.STATUS_DOWN, 1, "DOWN"),
        (pb.STATUS_UNSPECIFIED, 75, "not checked"),
    ],
)
@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_exit_code_of_health_is_true(
    stand_in: tuple[StandIn, dict[str, str]], status: Any, code: int, word: str, columns: str
) -> None:
    answers, environment = stand_in
    answers.report = pb.Report(
        status=status,
        checks=[
            pb.Check(name="price", status=status, detail="127.0.0.1:50053: not serving", last_error="it was\nkilled", age_ms=61_500),
            pb.Check(name="redis", status=pb.STATUS_OK, detail="\x1b[2Jred", last_error=""),
        ],
        exchanges=[
            pb.ExchangeHealth(
                target="binance:spot", group="orders", process="orders", status=status, breaker_state="half_open",
                latency_p50_ms=12, latency_p99_ms=80, limiter_fill=0.25, clock_offset_ms=-3, stream_age_ms=-1, age_ms=900,
            )
        ],
    )  # fmt: skip

    done = here("health", environment=environment | {"COLUMNS": columns})
    told = here("health", "--json", environment=environment)

    text = " ".join(done.stdout.split())
    assert (done.code, told.code) == (code, code)
    assert done.stdout.startswith(word)
    for part in (
        "62 s ago",
        "(last error: it was\\nkilled)",
        r"\x1b[2Jred",
        "breaker half open",
        "25% of its limit",
        "clock -3 ms",
    ):
        assert part in text
    assert max(len(line) for line in done.stdout.splitlines()) <= int(columns)
    assert objects(told.stdout)[0]["exchanges"][0]["stream_age_ms"] is None


def test_who_stands_still_is_told_for_how_long(stand_in: tuple[StandIn, dict[str, str]]) -> None:
    answers, environment = stand_in
    answers.report = pb.Report(
        queues=[pb.QueueLag(session="desk", group="mine", lag_records=4_000, lag_data_time_ns=36_500_000_000, standing_ms=95_000)],
        sinks=[
            pb.SinkLag(session="desk", sink="price", sequence=7, other_epoch=True, standing_ms=200_000),
            pb.SinkLag(session="desk", sink="second", sequence=9, lag_records=3, error="the disk is full", partition=2),
        ],
    )  # fmt: skip

    lines = [
        " ".join(line.split()) for line in here("lag", environment=environment | {"COLUMNS": "120"}).stdout.splitlines()
    ]

    assert (
        lines[1]
        == "desk group mine 4,000 36.500 s standing for 95 s, not counted any more: no call within the group lease"
    )
    assert lines[2] == "desk sink price ? 0.000 s committed 7, standing for 3 min, stands in a numbering that is over"
    assert lines[3] == "desk/2 sink second 3 0.000 s committed 9, stopped: the disk is full"


def test_every_page_of_sessions_is_read(stand_in: tuple[StandIn, dict[str, str]]) -> None:
    answers, environment = stand_in
    answers.sessions = [replay_pb2.Session(name=f"s{at}") for at in range(3)]

    shown, told = (
        here("sessions", environment=environment),
        here("sessions", "--json", environment=environment),
    )

    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["session", "s0", "s1", "s2"]
    assert [each["report_age_s"] for each in objects(told.stdout)[0]["sessions"]] == [None] * 3


def test_a_server_that_goes_while_it_is_watched_is_asked_again() -> None:
    answers = StandIn()
    answers.report = pb.Report(status=pb.STATUS_OK)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    add_HealthServiceServicer_to_server(answers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    with started({"MIDSTREAM_HEALTH_PORT": str(port)}, "health", "--watch", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["status"] == "ok"
        server.stop(None).wait(timeout=PATIENCE_S)
        assert "no health server answers" in process.stderr.readline()
        again = grpc.server(futures.ThreadPoolExecutor(4))
        answers.report = pb.Report(status=pb.STATUS_DOWN)
        add_HealthServiceServicer_to_server(answers, again)
        again.add_insecure_port(f"127.0.0.1:{port}")
        again.start()
        heard = (json.loads(line)["status"] for line in process.stdout)
        assert "down" in heard
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
        again.stop(None).wait(timeout=PATIENCE_S)


def test_the_lines_of_the_page_do_what_it_says(servers: Serving) -> None:
    # It may be the first one to ask: health's own view is up to a second old.
    wait_until_all_is_well(servers)
    page = (
        (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8").partition("## Watching")[2].partition("## ")[0]
    )
    typed = [line.split()[1:] for line in shell_lines(page)]

    assert len(typed) == 8
    assert [(words, ask(servers, *words).code) for words in typed] == [(words, 0) for words in typed]
