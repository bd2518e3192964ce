"""`serve` and `replay` look at the environment before they start anything with it."""

from __future__ import annotations

import os

import pytest

from services.cli.environment import check_environment
from services.cli.main import run
from services.runtime.errors import StartRefused


def test_an_unknown_variable_is_named_once_and_not_handed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_SPED", "2")
    monkeypatch.setenv("MIDSTREAM_SPEED", "3")

    check_environment()
    check_environment()

    assert capsys.readouterr().err == (
        "midstream: MIDSTREAM_SPED is no setting; did you mean MIDSTREAM_SPEED? `midstream settings` lists them all\n"
    )
    assert "MIDSTREAM_SPED" not in os.environ
    assert os.environ["MIDSTREAM_SPEED"] == "3"


def test_with_strict_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_SPED", "2")
    monkeypatch.setenv("MIDSTREAM_STRICT", "1")

    with pytest.raises(StartRefused, match="did you mean MIDSTREAM_SPEED"):
        check_environment()


@pytest.mark.parametrize("command", [("serve", "health"), ("replay", "no-such-file.csv")], ids=lambda parts: parts[0])
def test_the_commands_that_start_servers_refuse_it(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_TIKCERS", "A")
    monkeypatch.setenv("MIDSTREAM_STRICT", "1")

    assert run(command) == 2
    assert "MIDSTREAM_TIKCERS is no setting; did you mean MIDSTREAM_TICKERS?" in capsys.readouterr().err
