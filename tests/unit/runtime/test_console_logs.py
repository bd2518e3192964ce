"""Lines for people: where a terminal is, without a setting, and plain where they ask for it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from services.runtime.log_fields import fields
from services.runtime.logs import LogOptions, configure_logs, correlation
from tests.support.log_capture import restored_logging

logger = logging.getLogger("services.test")


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with restored_logging():
        yield


@pytest.mark.parametrize(
    ("form", "terminal", "readable"),
    [("auto", True, True), ("auto", False, False), ("json", True, False), ("console", False, True)],
)
def test_lines_are_for_people_on_a_terminal_unless_a_setting_says_otherwise(
    form: str, terminal: bool, readable: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    configure_logs("replay", LogOptions(form=form))

    logger.info("serving")

    assert capsys.readouterr().err.startswith("{") == (not readable)


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False), ("TERM", "xterm-256color", True)],
)
def test_colours_are_where_a_terminal_has_them_and_nobody_objects(
    variable: str, value: str, coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    configure_logs("replay")

    logger.warning("something happened", extra=fields(a=1))

    assert ("\x1b[" in capsys.readouterr().err) == coloured


def test_a_line_reads_from_left_to_right(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay", LogOptions(form="console", service="replay", stage="dev"))

    with correlation("abc"):
        logger.info(
            "engine restarted", extra=fields(code=3, again_in_s=0.5, why="it ended", names=["a", "b"], port=None)
        )

    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z info     replay   engine restarted correlation_id=abc code=3 "
        r'again_in_s=0\.5 why="it ended" names=\["a", "b"\] port=null\n',
        line,
    ), line


def test_a_traceback_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay", LogOptions(form="console"))
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logger.exception("server failed")

    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith("server failed")
    assert others[0] == "Traceback (most recent call last):"
    assert others[-1] == "RuntimeError: broken"


def test_nothing_that_others_say_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay", LogOptions(form="console"))

    logger.info("seen", extra=fields(**{"na\x1b[1mme": "va\x1b[2Jlue", "of": ["\x07"]}))
    logging.getLogger("others").info("text \x1b[2J")

    assert not set("\x1b\x07") & set(capsys.readouterr().err)
