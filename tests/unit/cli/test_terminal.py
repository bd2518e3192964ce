"""Nothing of a file, a name or an answer acts upon the terminal."""

from __future__ import annotations

import ast
import contextlib
import io
import unicodedata
from pathlib import Path

import pytest

from services.cli.terminal import one_line, say
from services.runtime.printable import printable
from tests.support.cli import ROOT, midstream_here

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2066\x7f\x85\u2028"


def is_harmless(text: str) -> bool:
    kinds = {unicodedata.category(character) for character in text if character not in "\n\t"}
    return not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_controls_are_spelled_out_and_everything_else_stays() -> None:
    assert printable("\x1b[1mA\x07\x9b\u202e\udcff\ud800") == r"\x1b[1mA\x07\x9b\u202e\xff\ud800"
    assert printable("Jürgen 10 € 价格\n\tB") == "Jürgen 10 € 价格\n\tB"
    assert one_line("a\nb\tc") == r"a\nb\tc"


@pytest.mark.parametrize("quoted", [False, True])
def test_names_of_tickers_columns_and_files_are_shown_harmlessly(tmp_path: Path, quoted: bool) -> None:
    ticker = f'"{NASTY}"' if quoted else NASTY
    folder = tmp_path / NASTY.replace("/", "")
    folder.mkdir()
    files = {
        "ticker.csv": f"{HEADER}0,2025-01-01 00:00:00,{ticker},1,101,100,1,1\n",
        "rejected.csv": f"{HEADER}0,{NASTY},A,1,{NASTY},100,1,1\n",
        "header.csv": f"index,{NASTY},ticker\n1,2,3\n",
        "unsorted.csv": f"{HEADER}0,2025-01-01 00:00:01,A,1,101,100,1,1\n0,2025-01-01 00:00:00,A,1,101,100,1,1\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        for arguments in (("inspect", folder / name), ("replay", folder / name, "--out", folder, "--start", NASTY)):
            done = midstream_here(*arguments)
            assert is_harmless(done.stdout + done.stderr), (arguments, done)
    for arguments in (
        ("inspect", NASTY),
        ("speed", NASTY),
        ("mode", NASTY),
        (NASTY,),
        ("replay", "x", "--session", NASTY),
    ):
        done = midstream_here(*arguments)
        assert done.code == 2
        assert is_harmless(done.stdout + done.stderr), (arguments, done)


def test_a_file_name_that_is_no_text_can_be_spoken_of() -> None:
    with contextlib.redirect_stderr(io.TextIOWrapper(io.BytesIO(), "utf-8")) as stderr:
        say("the file \udcff\udc80.csv")
        stderr.flush()
        assert stderr.buffer.getvalue() == rb"the file \xff\x80.csv" + b"\n"  # type: ignore[attr-defined]


def test_the_command_line_speaks_in_one_place_only() -> None:
    found = []
    for path in sorted((ROOT / "services" / "cli").glob("*.py")):
        if path.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            # A page that consists of our own words is the exception.
            if is_print and path.name != "settings_command.py":
                found.append(f"{path.name}:{getattr(node, 'lineno', 0)}")
    assert found == []
