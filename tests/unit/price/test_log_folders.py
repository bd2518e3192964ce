"""Folders of created sessions' logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.price.log_folders import log_folder
from services.runtime.errors import FailedPrecondition


def test_a_session_keeps_its_folder_over_restarts(tmp_path: Path) -> None:
    folder = log_folder(tmp_path / "out", "a", 7)
    (folder / "mid_prices.log").write_text("x")

    assert log_folder(tmp_path / "out", "a", 7) == folder == tmp_path / "out" / "a"
    assert (folder / "mid_prices.log").read_text() == "x"


def test_the_next_session_of_the_name_finds_an_empty_folder_and_spares_what_is_there(tmp_path: Path) -> None:
    (log_folder(tmp_path, "a", 7) / "mid_prices.log").write_text("first")
    (log_folder(tmp_path, "a", 8) / "mid_prices.log").write_text("second")

    assert not (log_folder(tmp_path, "a", 9) / "mid_prices.log").exists()
    assert (tmp_path / "a~7" / "mid_prices.log").read_text() == "first"
    assert (tmp_path / "a~8" / "mid_prices.log").read_text() == "second"


@pytest.mark.parametrize("what", ["journal of control", "a file", "a link", "a dangling link"])
def test_what_is_somebody_elses_stays_as_it_is(tmp_path: Path, what: str) -> None:
    place = tmp_path / "journal"
    match what:
        case "journal of control":
            place.mkdir()
            (place / "default.jsonl").write_text("x")
        case "a file":
            place.write_text("x")
        case "a link":
            (tmp_path / "elsewhere").mkdir()
            place.symlink_to(tmp_path / "elsewhere")
        case _:
            place.symlink_to(tmp_path / "nowhere")

    with pytest.raises(FailedPrecondition, match="another name"):
        log_folder(tmp_path, "journal", 7)

    assert not (place / ".midstream").exists()


def test_an_empty_folder_is_taken_and_a_start_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    (tmp_path / "b" / ".midstream").mkdir(parents=True)
    (tmp_path / "b" / ".midstream" / "session.tmp").touch()

    assert log_folder(tmp_path, "a", 7) == tmp_path / "a"
    assert log_folder(tmp_path, "b", 7) == tmp_path / "b"
