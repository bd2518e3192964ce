"""What a command logs has fields, and looks as its reader wants it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from services.cli.late_logs import log_when_needed
from services.runtime.log_fields import fields
from tests.support.log_capture import restored_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored_logging():
        yield


@pytest.mark.parametrize("form", ["", "json", "nonsense"])
def test_the_first_record_and_all_that_follow_are_lines(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_LOG_FORMAT", form)
    monkeypatch.setenv("MIDSTREAM_STAGE", "dev")
    log_when_needed()

    logging.getLogger("clients.x").warning("made private", extra=fields(path="/a"))
    logging.getLogger("clients.x").warning("made private", extra=fields(path="/b"))

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["path"], line["server"], line["stage"]) for line in lines] == [
        ("made private", "/a", "midstream", "dev"),
        ("made private", "/b", "midstream", "dev"),
    ]


def test_a_person_gets_a_line_for_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MIDSTREAM_LOG_FORMAT", "console")
    log_when_needed()

    logging.getLogger("clients.x").warning("made private", extra=fields(path="/a"))

    assert "made private path=/a" in capsys.readouterr().err
