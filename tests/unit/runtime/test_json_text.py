"""What other processes and callers wrote is read or refused in one short sentence, however deep or long it is."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from services.replay.queue.model import parse_checkpoint
from services.runtime.json_text import read_json, short_reason
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.holders import parse_holder
from services.runtime.session.intents import Intent
from services.runtime.session.report import EngineReport
from services.simulators.venue.faults import parse_faults
from services.simulators.venue.levers import json_or_text

DEEP = b"[" * 100_000
BAD = {
    "deep": DEEP,
    "deep and whole": b"[" * 100_000 + b"]" * 100_000,
    "deep in a field": b'{"version": 1, "state": ' + b'{"a":' * 50_000,
    "a long word": b'{"version": 1, "state": "' + b"x" * 100_000 + b'", "kind": "' + b"x" * 100_000 + b'"}',
    "a long version": b'{"version": "' + b"x" * 100_000 + b'"}',
    "a number beyond all": b'{"version": ' + b"1" * 100_000 + b"}",
    "no UTF-32": b"\x01\x00\x00\x00" + b"\x00\x00\x12\x40" * 20_000,
    "no UTF-8": b'{"state": "' + b"\xff" * 100_000,
}
READERS: dict[str, Callable[[bytes], object]] = {
    "report": lambda text: EngineReport.decode("default", text),
    "announcement": lambda text: SinkAnnouncement.decode("sink", text),
    "intent": Intent.decode,
    "checkpoint": lambda text: parse_checkpoint({b"version": b"1", b"seams": text.decode("latin-1").encode()}),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_an_entry_that_cannot_be_read_is_one_short_refusal(read: Callable[[bytes], object], text: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        read(text)

    assert len(str(caught.value)) < 1000


def test_a_lease_nested_without_end_counts_as_none() -> None:
    assert parse_holder(DEEP) is None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"faults":' * 300 + '"lose"' + "}" * 300, "[" * 990 + "]" * 990])
def test_a_plan_of_faults_nested_without_end_is_refused_or_read(text: str) -> None:
    try:
        assert isinstance(parse_faults(text), list)
    except ValueError as refusal:
        assert len(str(refusal)) < 200  # noqa: PT017  (either is right: how deep is too deep is Python's business)


def test_what_a_lever_cannot_read_is_text() -> None:
    assert json_or_text(DEEP) == DEEP.decode()


def test_everything_that_json_itself_raises_becomes_a_value_error() -> None:
    assert read_json('{"a": [1, 2.5]}') == {"a": [1, 2.5]}
    assert read_json(b'"\xc3\xb6"') == "ö"
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(DEEP)
    with pytest.raises(ValueError, match="no UTF-8 at byte 1"):
        read_json(b'"\xff"')
    with pytest.raises(json.JSONDecodeError):
        read_json("{")


def test_a_reason_names_its_kind_and_is_bounded() -> None:
    assert short_reason(KeyError("state")) == "KeyError: 'state'"
    assert len(short_reason(ValueError("x" * 10_000))) == 200
