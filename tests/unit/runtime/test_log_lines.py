"""A line is one JSON object: who, what, under which request, and fields that keep their types and no passwords."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest

from services.runtime.errors import FailedPrecondition
from services.runtime.log_fields import fields
from services.runtime.log_lines import DEPTH_MAX, ITEMS_MAX, TEXT_MAX, plain
from services.runtime.logs import LogOptions, configure_logs, correlation, current_correlation_id
from tests.support.log_capture import restored_logging

logger = logging.getLogger("services.test")


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    ONE = "one"


class Thing(Enum):
    ONE = 7


class Silent:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored_logging():
        yield


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_says_what_who_and_under_which_request_in_this_order(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay-engine", LogOptions(service="replay", stage="prod", task="0123abcd"))

    with correlation("abc"):
        logger.info("replay started", extra=fields(session="default", speed=2.5, paused=False, gap=None))
    logger.debug("not shown")

    (line,) = lines(capsys)
    assert list(line) == [
        "event", "level", "logger", "timestamp", "server", "service", "stage", "task", "correlation_id",
        "session", "speed", "paused", "gap",
    ]  # fmt: skip
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "replay started",
        "level": "info",
        "logger": "services.test",
        "server": "replay-engine",
        "service": "replay",
        "stage": "prod",
        "task": "0123abcd",
        "correlation_id": "abc",
        "session": "default",
        "speed": 2.5,
        "paused": False,
        "gap": None,
    }
    assert current_correlation_id() == ""


def test_what_a_machine_of_one_s_own_does_not_have_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay")

    logger.warning("something happened")

    assert set(lines(capsys)[0]) == {"event", "level", "logger", "timestamp", "server", "service"}


def test_a_field_cannot_change_what_a_line_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay")

    logger.error("sensor failed", extra=fields(level=3, server="other", timestamp="never"))

    (line,) = lines(capsys)
    assert (line["level"], line["server"], line["level_"], line["server_"]) == ("error", "replay", 3, "other")


def test_the_time_of_a_line_is_when_it_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay")
    record = logger.makeRecord("services.test", logging.INFO, __file__, 1, "late", (), None)
    record.created = 1_700_000_000.25

    logger.handle(record)

    assert lines(capsys)[0]["timestamp"] == "2023-11-14T22:13:20.250000Z"


@pytest.mark.parametrize("form", ["json", "console"])
def test_passwords_of_urls_never_reach_the_log(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logs("replay", LogOptions(form=form))
    url = "redis://u:hunter2@host:1/0"

    logger.warning("cannot reach " + url, stack_info=True, extra=fields(url=url, at=[url], by={"a": (url, {url: url})}))
    logging.getLogger("others").warning("cannot reach %s", url)
    try:
        raise RuntimeError("redis://:hunter2@host refused")
    except RuntimeError as exc:
        logger.exception("failed", extra=fields(reason=exc, raw=url.encode()))

    error = capsys.readouterr().err
    assert error.count("redis://u:***@host:1/0") >= 7
    assert "RuntimeError: redis://:***@host refused" in error
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, 3),
        (2.5, 2.5),
        (True, True),
        (None, None),
        ("text", "text"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (10**30, 10**30),
        (Decimal("1.10"), "1.10"),
        (Path("/a/b"), "/a/b"),
        (b"bytes \xff", "bytes \\xff"),
        (Number.ONE, "ONE"),
        (Word.ONE, "one"),
        (Thing.ONE, "ONE"),
        (FailedPrecondition("`x` is odd"), "`x` is odd"),
        (TimeoutError(), "TimeoutError"),
        ({"b", "a"}, ["a", "b"]),
        ((1, "x", [None]), [1, "x", [None]]),
        ({1: {"x": 2.0}}, {"1": {"x": 2.0}}),
        (Silent(), "<Silent>"),
        ("half \udc80", "half \\udc80"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_keep_their_types_where_json_has_them(value: object, shown: object) -> None:
    assert plain(value) == shown
    assert type(plain(value)) is type(shown)
    json.dumps(plain(value), allow_nan=False)


def test_what_is_long_is_cut_and_says_so() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]

    assert plain("x" * (TEXT_MAX + 5)) == "x" * TEXT_MAX + "... 5 more characters"
    assert plain(list(range(ITEMS_MAX + 5)))[-1] == "... 5 more"
    assert plain(dict.fromkeys(range(ITEMS_MAX + 5)))["..."] == "5 more"
    assert str(plain(deep)).count("[") > DEPTH_MAX
    assert isinstance(plain(deep)[0][0][0][0], str)
