"""Every command ends the same way: exit codes, one line on stderr, and with --json one object on stdout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer

from services.cli.main import app
from services.cli.output import ExitCode
from tests.support.cli import ROOT, Completed, midstream, midstream_here
from tests.support.ports import free_port

PAGE = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
NOT_THERE = "there-is-no-such-file.csv"
BAD_USAGE = [
    ("replay",),
    ("replay", NOT_THERE, "--speed", "0"),
    ("replay", NOT_THERE, "--session", "no name"),
    ("replay", NOT_THERE, "--resume", "--overwrite"),
    ("serve", "nobody"),
    ("mode", "both"),
    ("session", "show", "no name"),
    ("session", "create", "a.csv", "--start", "soon"),
    ("session", "create", "a.csv", "--speed", "0"),
    ("status", "--session", "no name"),
    ("pause", "--nonsense"),
    ("resume", "too", "many"),
    ("speed", "fast"),
    ("seek", "yesterday"),
    ("step", "0"),
    ("range", "--start", "noon"),
    ("schedule", "--cancel", "x"),
    ("journal", "no name"),
    ("rerun", "missing.jsonl"),
    ("price",),
    ("price", "BTC/USDT", "--max-age-ms", "-1"),
    ("inspect",),
    ("whatif",),
    ("whatif", NOT_THERE, "--latency-threshold-ms", "x"),
    ("verify",),
    ("merge-logs",),
    ("merge-logs", NOT_THERE),
    ("record", "ws://127.0.0.1:1"),
    ("record", "ws://127.0.0.1:1", "--out", "out", "--duration", "-1"),
    ("healthcheck", "nobody"),
    ("healthcheck", "price", "--timeout", "0"),
    ("settings", "nobody"),
    ("settings", "--json", "--markdown"),
    ("keys", "create"),
    ("keys", "create", "--role", "king"),
    ("keys", "revoke"),
    ("orders", "settle"),
    ("health", "now"),
    ("sessions", "--session", "x"),
    ("partitions", "--nonsense"),
    ("lag", "price"),
    ("tail", "trades"),
    ("doctor", "nobody"),
    ("tail", "--after", "-1"),
    ("tail", "--epoch", "x"),
    ("tail", "--last", "3", "--from-oldest"),
    ("tail", "--latest", "--since", "2025-01-01 00:00:00"),
    ("tail", "--every", "100ms"),
    ("tail", "--policy", "conflate", "--lag-max", "5"),
    ("nonsense",),
]
REFUSED = [
    ("replay", NOT_THERE, "--out", "out"),
    ("inspect", NOT_THERE),
    ("whatif", NOT_THERE),
    ("whatif", NOT_THERE, "--latency", "offset:5ms"),
    ("whatif", NOT_THERE, "--latency", "offset:5"),
    ("verify", NOT_THERE),
    ("merge-logs", NOT_THERE, "--out", "out"),
    ("record", "http://127.0.0.1", "--out", "out"),
    ("keys", "create", "--role", "trade"),
    ("keys", "list"),
    ("keys", "revoke", "0" * 16),
    ("orders", "settle", "1", "--not-there", "--reason", "looked", "--key-file", NOT_THERE),
]
CALLS = [
    ("session", "create", "a.csv"),
    ("session", "list"),
    ("session", "show", "a"),
    ("session", "delete", "a"),
    ("mode", "live"),
    ("status",),
    ("pause",),
    ("resume",),
    ("speed", "2"),
    ("seek", "-10m"),
    ("step",),
    ("range",),
    ("schedule",),
    ("journal",),
    ("price", "BTC/USDT"),
    ("price", "BTC/USDT", "ETH/USDT"),
    ("health",),
    ("health", "--watch"),
    ("sessions",),
    ("partitions",),
    ("lag",),
    ("tail",),
    ("tail", "mids"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and addresses where nobody listens."""
    monkeypatch.chdir(tmp_path)
    port = str(free_port())
    for name in ("REPLAY", "CONTROL", "PRICE", "HEALTH"):
        monkeypatch.setenv(f"MIDSTREAM_{name}_PORT", port)


def takes_json(arguments: tuple[str, ...]) -> bool:
    """Tell whether a command has the option."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    command = commands.get(arguments[0])
    if command is not None and hasattr(command, "commands"):
        command = command.commands.get(arguments[1])
    return command is not None and any("--json" in each.opts for each in command.params)


def one_object(done: Completed) -> dict[str, object]:
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    found = json.loads(lines[0])
    assert isinstance(found, dict)
    return found


@pytest.mark.cases(12)
@pytest.mark.parametrize("arguments", BAD_USAGE, ids=" ".join)
def test_bad_usage_takes_one_line_and_exits_with_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = midstream_here(*arguments)

    assert done.code == ExitCode.REFUSED
    assert done.stdout == "" or "--json" in arguments
    assert done.error_line.startswith("midstream")
    assert "Value error" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_is_refused_takes_one_line_and_exits_with_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = midstream_here(*arguments)

    assert (done.code, done.stdout) == (ExitCode.REFUSED, "")
    assert done.error_line.startswith("midstream")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cases(5)
@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_a_server_that_cannot_be_reached_exits_with_1(arguments: tuple[str, ...]) -> None:
    done = midstream_here(*arguments)

    assert (done.code, done.stdout) == (ExitCode.FAILED, "")
    assert all("server answers on 127.0.0.1:" in line for line in done.stderr.splitlines())


@pytest.mark.cases(16)
@pytest.mark.parametrize(
    "arguments", [each for each in (*BAD_USAGE, *REFUSED, *CALLS) if takes_json(each)], ids=" ".join
)
def test_with_json_also_an_error_is_one_object(arguments: tuple[str, ...]) -> None:
    plain, done = midstream_here(*arguments), midstream_here(*arguments, "--json")

    found = one_object(done)
    assert done.code == plain.code
    assert done.stderr == plain.stderr
    errors = found["errors"] if "errors" in found else [found["error"]]
    assert isinstance(errors, list)
    assert {error["exit_code"] for error in errors} == {done.code}
    assert all(error["message"] in done.stderr for error in errors)


def test_every_command_stands_in_the_lists() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

    assert {arguments[0] for arguments in (*BAD_USAGE, *CALLS)} - {"nonsense"} == commands - {"demo"}


@pytest.mark.cases(2)
@pytest.mark.parametrize("arguments", [(), ("keys",), ("orders",)], ids=["midstream", "keys", "orders"])
@pytest.mark.parametrize("columns", [40, 100])
def test_without_a_command_there_is_its_help_page_and_nothing_else(arguments: tuple[str, ...], columns: int) -> None:
    done = midstream(*arguments, environment={"COLUMNS": str(columns)})

    assert (done.code, done.stderr) == (ExitCode.COMPLETE, "")
    assert " ".join(("Usage: midstream", *arguments)) in done.stdout
    assert (
        done.stdout.rstrip() == midstream(*arguments, "--help", environment={"COLUMNS": str(columns)}).stdout.rstrip()
    )


def test_the_version_is_told() -> None:
    done = midstream_here("--version")

    assert (done.code, done.stderr) == (ExitCode.COMPLETE, "")
    assert re.fullmatch(r"midstream \S+.*\n", done.stdout)


def test_the_page_lists_every_exit_code() -> None:
    listed = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)

    assert [int(code) for code in listed] == [code.value for code in ExitCode]


def test_the_page_says_what_every_command_gives_with_json() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    leaves = {
        f"{name} {leaf}".strip()
        for name, command in commands.items()
        for leaf, found in (command.commands.items() if hasattr(command, "commands") else [("", command)])
        if any("--json" in each.opts for each in found.params)
    }

    assert set(re.findall(r"^\| `midstream ([a-z -]+)` \|", PAGE, re.MULTILINE)) == leaves
