"""docs/partitions.md: its two servers share a session, every line of it is run, and its figures are those of the code."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.runtime.session.holders import LEASE_MS
from services.runtime.session.owners import BEAT_S, DEAD_S
from services.runtime.session.partition_runners import SILENT_LOOKS, SILENT_START_S, UNFIT_S
from services.runtime.session.woven_stream import MERGE_WAIT_S
from tests.support.cli import ROOT, Completed, midstream, until
from tests.support.grpcurl import run_call
from tests.support.pages import run_program, shell_lines
from tests.support.redis_server import RedisForTests
from tests.support.serving import Machine, Serving, kept_up

PAGE = (ROOT / "docs" / "partitions.md").read_text(encoding="utf-8")
LINES = [line for line in shell_lines(PAGE) if line]
STARTS = [line for line in LINES if line.startswith("MIDSTREAM_")]
CALLS = [line for line in LINES if line.startswith("grpcurl")]
RECORDS, MIDS = 20_007, 9_942
OWN = ("REDIS_URL", "OUT", "REPLAY_PORT", "PRICE_PORT")
"""What the page sets for two servers on one machine, and a test for two of its own."""

Pair = tuple[Serving, Serving]


@contextlib.contextmanager
def started(line: str, redis_url: str, out: Path) -> Iterator[Serving]:
    """Start what a line of the page starts, on free ports and another Redis."""
    words = shlex.split(line)
    settings = dict(word.removeprefix("MIDSTREAM_").split("=", 1) for word in words if word.startswith("MIDSTREAM_"))
    names = words[words.index("serve") + 1 :]
    kept = {f"MIDSTREAM_{name}": value for name, value in settings.items() if name not in OWN}
    with kept_up(Machine(out, environment=kept | {"MIDSTREAM_REDIS_URL": redis_url}, names=names)) as machine:
        yield machine


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("partitions")
    (folder / "redis").mkdir()
    store = RedisForTests(folder / "redis", append_only=True)
    try:
        with started(STARTS[0], store.url, folder / "a") as a, started(STARTS[1], store.url, folder / "b") as b:
            until(lambda: owners(a) == sink_owners(a) == ["a", "a", "b", "b"], what="even shares")
            until(lambda: committed(a) == RECORDS, what="every record in the logs")
            yield a, b
    finally:
        store.stop()


def table(servers: Serving) -> list[list[str]]:
    """Run `midstream partitions`; return the cells of its rows."""
    assert "midstream partitions" in LINES
    done = servers.midstream("partitions")
    assert done.code == 0, done.stderr
    return [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()[1:]]


def owners(servers: Serving) -> list[str]:
    return sorted(row[1] for row in table(servers))


def sink_owners(servers: Serving) -> list[str]:
    return sorted(re.findall(r"price at [\d,]+ \((\w+)\)", "\n".join(" ".join(row) for row in table(servers))))


def committed(servers: Serving) -> int:
    """Add up where the sinks are."""
    found = [re.search(r"price at ([\d,]+)", " ".join(row)) for row in table(servers)]
    return sum(int(each[1].replace(",", "")) for each in found if each)


def say(servers: Serving, line: str) -> Completed:
    """Run a line of the page."""
    assert line in LINES
    return servers.midstream(*shlex.split(line)[1:])


def objects(done: Completed) -> list[dict[str, Any]]:
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.long
def test_two_servers_share_the_session_that_is_read_in_one_order_and_in_part(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = pair
    # A narrow terminal leaves the numbers out.
    monkeypatch.setenv("COLUMNS", "200")
    everything = say(a, "midstream tail --from-oldest -n 5").stdout
    part = say(a, "midstream tail --from-oldest --partition 3 -n 5").stdout
    mids = say(a, "midstream tail mids --from-oldest -n 5").stdout

    assert sum(int(row[4].replace(",", "")) for row in table(a)) == RECORDS
    assert re.findall(r"^ *(\d+) ", everything, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert re.findall(r"^ *(\d+) ", part, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert everything != part
    assert len(re.findall(r"USDT", mids)) == 5


@pytest.mark.long
def test_a_script_goes_on_behind_the_position_that_it_kept(pair: Pair) -> None:
    a, b = pair
    first, then = (line.removeprefix("midstream ") for line in LINES if "--positions" in line)
    whole = objects(a.midstream(*shlex.split(first), "-n", str(RECORDS)))
    before = next(each for each in whole if each["type"] == "position")
    shown = whole[: whole.index(before)]

    rest = objects(b.midstream(*shlex.split(then.replace("$AFTER", before["after"])), "-n", str(RECORDS - len(shown))))

    assert before["after"].count(":") == 8
    assert 0 < len(shown) < RECORDS
    assert [each for each in [*shown, *rest] if each["type"] != "position"] == [
        each for each in whole if each["type"] != "position"
    ]


@pytest.mark.long
def test_mids_of_all_partitions_go_on_behind_a_position(pair: Pair) -> None:
    a, b = pair
    typed = ("tail", "mids", "--json", "--positions")
    first = objects(a.midstream(*typed, "--from-oldest", "-n", str(MIDS // 2)))
    last = max(index for index, each in enumerate(first) if each["type"] == "position")
    shown = [(each["partition"], each["sequence"]) for each in first[:last] if each["type"] == "mid"]

    rest = objects(b.midstream(*typed, "--after", first[last]["after"], "-n", str(MIDS - len(shown))))

    told = [(each["partition"], each["sequence"]) for each in rest if each["type"] == "mid"]
    assert 0 < len(shown) < MIDS
    assert len({*shown, *told}) == len(shown) + len(told) == MIDS


@pytest.mark.long
@pytest.mark.needs("grpcurl")
def test_any_server_streams_every_partition(pair: Pair) -> None:
    a, b = pair
    everything, part = (run_call(call, {50051: a.ports["replay"], 50061: b.ports["replay"]}) for call in CALLS)

    last = re.findall(r'"last_sequence": "(\d+)"', everything.stdout)
    alone = re.findall(r'"last_sequence": "(\d+)"', part.stdout)
    assert RECORDS * 0.9 < max(map(int, last)) <= RECORDS, everything.stderr
    assert '"positions"' in everything.stdout
    assert 0 < max(map(int, alone)) < RECORDS * 0.9, part.stderr
    assert '"positions"' not in part.stdout


@pytest.mark.long
def test_the_program_of_the_page_goes_on_where_it_was(pair: Pair) -> None:
    a, _ = pair

    first, second = run_program(PAGE, place="127.0.0.1:50051", at=a.address("replay"), folder=ROOT).splitlines()

    assert first == f"True {[int(row[4].replace(',', '')) for row in table(a)]}"
    assert second.startswith("1 [")


@pytest.mark.long
def test_what_counts_records_is_refused_with_the_way_out_of_the_page(pair: Pair) -> None:
    a, _ = pair

    stepped, sought = say(a, "midstream step 10"), say(a, 'midstream seek "#100"')

    assert (stepped.code, sought.code) == (2, 2)
    assert "published in 4 partitions" in stepped.stderr
    assert "schedule a pause at an arrival time" in stepped.stderr
    assert "seek to an arrival time" in sought.stderr


@pytest.mark.long
def test_status_counts_the_partitions_and_what_each_did_is_repeated(pair: Pair, tmp_path: Path) -> None:
    a, _ = pair

    status, sessions = a.midstream("status"), a.midstream("sessions")
    a.midstream("pause"), a.midstream("resume")
    listed = a.midstream("journal")
    write, repeat = (line.split()[1:] for line in LINES if line.startswith(("midstream journal", "midstream rerun")))
    written = a.midstream(*(str(tmp_path / word) if "." in word else word for word in write))
    repeated = midstream(*(str(tmp_path / word) if "." in word or word == "again" else word for word in repeat))

    assert f"{RECORDS:,} records in 4 partitions" in status.stdout
    assert "4 partitions" in sessions.stdout
    played, effects = [json.loads(line) for line in listed.stdout.splitlines()][:4], listed.stdout.splitlines()[4:]
    assert sum(each["last_sequence"] for each in played) == RECORDS
    assert [json.loads(line)["partition"] for line in effects[-4:]] == [0, 1, 2, 3]
    assert (written.code, f"{RECORDS:,} records in 4 partitions" in written.stdout) == (0, True)
    assert repeated.code == 0, repeated.stderr
    assert "identical: the logs of all 4 partitions are those of session `default`" in repeated.stdout


@pytest.mark.long
def test_logs_are_merged_as_the_page_says(pair: Pair, tmp_path: Path) -> None:
    [command] = re.findall(r"`midstream (merge-logs var var-b --out merged)`", PAGE)
    places = {"var": pair[0].out, "var-b": pair[1].out, "merged": tmp_path / "merged"}

    refused = pair[0].midstream(*(str(places.get(word, word)) for word in command.split()))

    # Whoever tries it while the servers run is told to stop them first.
    assert (refused.code, "a sink is writing to" in refused.stderr) == (2, True)


def test_figures_of_the_page_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", PAGE)

    assert f"({MERGE_WAIT_S * 1000:g} unless the request says otherwise)" in text
    assert f"silence {DEAD_S:g} s, lease {LEASE_MS / 1000:g} s" in text
    assert f"for {SILENT_LOOKS} looks" in text
    assert f"not said a word | {SILENT_START_S:g} s |" in text
    assert f"takes nothing for {UNFIT_S:g} s" in text
    assert BEAT_S == 1.0, "the page says `each second`"


@pytest.mark.long
def test_a_server_that_ends_leaves_its_partitions_to_the_other(pair: Pair) -> None:
    a, b = pair

    assert b.stop() == 0

    until(lambda: owners(a) == sink_owners(a) == ["a"] * 4, what="all partitions at a")
    assert committed(a) == RECORDS
