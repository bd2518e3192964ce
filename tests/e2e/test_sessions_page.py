"""docs/sessions.md: every line of it is run, and does what the page says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from tests.support.cli import ROOT, Completed, until
from tests.support.grpcurl import run_call
from tests.support.pages import run_program, shell_lines
from tests.support.serving import Serving, serving

PAGE = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
LINES = [line for line in shell_lines(PAGE) if line]
PACE = r"^pace +gaps up to 500ms; what is late catches up$"
CREATED = [line for line in LINES if line.startswith("grpcurl")]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("sessions") / "out", ("replay", "control", "price")) as running:
        yield running


def shown(servers: Serving, line: str) -> Completed:
    """Run a line of the page."""
    assert line in LINES
    done = servers.midstream(*shlex.split(line)[1:])
    assert done.code == 0, done.stderr
    return done


def test_a_session_is_created_used_and_deleted_as_the_page_says(servers: Serving) -> None:
    commands = [line for line in LINES if line.startswith("midstream")]
    assert len(commands) == 8

    shown(servers, commands[0])
    created = shown(servers, commands[1])
    listed = shown(servers, commands[2])
    until(lambda: re.search(PACE, shown(servers, commands[3]).stdout, re.MULTILINE), what="the pace of mine in effect")
    about = shown(servers, commands[3])
    status = servers.midstream("status", "--session", "mine").stdout
    mids = shown(servers, commands[4])
    shown(servers, commands[5])
    until(lambda: "completed" in shown(servers, commands[6]).stdout, what="the end of yesterday")
    figures = json.loads(servers.midstream("session", "show", "yesterday", "--json").stdout)
    deleted = json.loads(servers.midstream("session", "delete", "yesterday", "--json").stdout)
    gone = shown(servers, commands[7])

    assert "session mine created" in created.stdout
    assert {"default", "mine", "yesterday"} <= {line.split()[0] for line in listed.stdout.splitlines()}
    assert "(private)" in about.stdout
    assert "BTC-USDT-SWAP@BINANCE" in about.stdout
    assert "20x, gaps up to 500ms; what is late catches up" in status
    assert mids.stdout.count("BTC-USDT-SWAP@BINANCE") == 3
    assert figures["definition"]["files"] == [str(ROOT / "data" / "historical_sample.csv")]
    assert (figures["private"], figures["last_sequence"]) == (False, 20_007)
    assert deleted == {"session": "yesterday", "logs": {"price": str(servers.out / "yesterday")}}
    assert str(servers.out / "mine") in gone.stdout
    assert (servers.out / "mine" / "mid_prices.log").is_file()


@pytest.mark.needs("grpcurl")
def test_the_calls_of_the_page_do_the_same(servers: Serving) -> None:
    assert len(CREATED) == 2
    created, deleted = (run_call(call, {50051: servers.ports["replay"]}) for call in CREATED)

    assert '"historical_sample.csv"' in created.stdout, created.stderr
    assert (deleted.code, deleted.stdout.strip()) == (0, "{}"), deleted.stderr


def test_the_program_of_the_page_runs(servers: Serving) -> None:
    printed = run_program(PAGE, place="127.0.0.1:50051", at=servers.address("replay"), folder=ROOT)

    first, logs = printed.splitlines()
    assert first == "fourth ['price']"
    # Its sink may not even have begun.
    assert logs in ("{}", str({"price": str(servers.out / "fourth")}))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "/etc/passwd"), "MIDSTREAM_DATA"),
        (("create", "../x.csv"), "upwards"),
        (("create",), "nothing to replay"),
        (("create", "a.csv", "--start", "soon"), "soon"),
        (("create", "a.csv", "--name", "default"), "MIDSTREAM_SESSION"),
        (("create", "a.csv", "--live-url", "http://127.0.0.1"), "MIDSTREAM_LIVE_URL"),
        (("create", "a.csv", "--gap-cap", "5s", "--rate", "10"), "gap_cap_ns and rate exclude each other"),
        (("create", "a.csv", "--gap-cap", "soon"), "no duration"),
        (("create", "a.csv", "--delay", "5ms", "--time-debt", "fail"), "time_debt: fail has no meaning with delay_ns"),
        (("create", "a.csv", "--rate", "10", "--speed", "max"), "--rate means nothing at speed max"),
        (("show", "nobody"), "not known"),
        (("delete", "nobody"), "not known"),
        (("delete", "default"), "environment"),
    ],
)
def test_what_is_refused_says_why(servers: Serving, arguments: tuple[str, ...], says: str) -> None:
    done = servers.midstream("session", *arguments, "--json")

    assert done.code in (1, 2)
    assert says in json.loads(done.stdout)["error"]["message"]
