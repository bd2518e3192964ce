"""Two runs held against each other by what they recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.verify.comparing import compare
from services.verify.run import NotVerifiable
from tests.support.cli import midstream_here
from tests.support.left_run import EVERY, change_report, leave_run
from tests.support.made_ticks import write_made_ticks


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs over the same rows, of which the second one has another price in its 130th."""
    for name in ("one", "two"):
        path = write_made_ticks(tmp_path / f"{name}.csv", 300)
        if name == "two":
            path.write_text(path.read_text().replace(",131,130,", ",131,129,"))
        leave_run(tmp_path / name, [str(path)])
    return tmp_path / "one", tmp_path / "two"


def proofs(run: Path) -> list[str]:
    return list(json.loads((run / "report.json").read_text())["order_proofs"]["digests"])


@pytest.mark.quick
def test_equal_runs_are_equal_by_directory_report_and_string(runs: tuple[Path, Path]) -> None:
    one, _ = runs
    digest = json.loads((one / "report.json").read_text())["order_digest"]

    assert all(compare(one, str(other)).is_same for other in (one, one / "report.json", digest))


@pytest.mark.quick
def test_first_block_that_differs_is_named(runs: tuple[Path, Path]) -> None:
    one, two = runs

    found = compare(one, str(two))

    assert (found.is_same, found.first, found.last) == (False, 101, 150)
    done = midstream_here("verify", one, "--against", two)
    assert (done.code, "the first difference is in records" in done.stdout) == (1, True)


def test_proofs_at_other_distances_are_compared_where_both_have_one(runs: tuple[Path, Path]) -> None:
    one, two = runs
    change_report(two, order_proofs={"every": 2 * EVERY, "digests": proofs(two)[1::2]})

    found = compare(one, str(two))

    assert (found.first, found.last) == (101, 200)


def test_string_that_differs_cannot_say_where(runs: tuple[Path, Path]) -> None:
    one, _ = runs

    found = compare(one, "0" * 64)

    assert (found.is_same, found.first) == (False, 0)
    assert midstream_here("verify", one, "--against", "0" * 64).code == 1


def test_digests_of_other_versions_are_not_compared(runs: tuple[Path, Path]) -> None:
    one, two = runs
    change_report(two, order_digest_version=1)

    with pytest.raises(NotVerifiable, match="versions 2 and 1"):
        compare(one, str(two))


def test_run_that_did_not_end_is_not_compared(runs: tuple[Path, Path]) -> None:
    one, two = runs
    change_report(two, complete=False)

    with pytest.raises(NotVerifiable, match="did not come to its end"):
        compare(one, str(two))
