"""What an output directory allows, and that a refusal changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from services.cli import run_directory
from services.cli.options import ReplayOptions
from services.cli.run_directory import DirectoryRefused, RunDirectory

OPTIONS = ReplayOptions(
    files=("a.csv",),
    session="default",
    speed=0.0,
    latency_threshold_ms="20",
    log_timestamp="event",
    fraction_unit="",
    negative_latency="keep",
    min_latency_ms="",
    unsorted="refuse",
    tickers=(),
    start="",
    end="",
    mids_csv=False,
)


@dataclass
class Input:
    """What the directory asks of an input file."""

    name: str = "a.csv"
    size: int = 100
    mtime_ns: int = 1
    head_digest: str = "d"


INPUTS = (Input(),)


def prepare(
    directory: RunDirectory,
    *,
    options: ReplayOptions = OPTIONS,
    inputs: Any = INPUTS,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    with directory.prepared(options, inputs, resume=resume, overwrite=overwrite):
        (directory.path / "mid_prices.log").write_text("a line\n")


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """A directory with one run in it."""
    used = RunDirectory(tmp_path / "out")
    prepare(used)
    return used


def content(directory: RunDirectory) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}


@pytest.mark.quick
def test_used_directory_is_refused_unless_told_what_to_do_with_it(directory: RunDirectory) -> None:
    before = content(directory)

    with pytest.raises(DirectoryRefused, match=r"mid_prices\.log.*--resume.*--overwrite.*--out"):
        prepare(directory)
    assert content(directory) == before

    prepare(directory, resume=True)
    prepare(directory, overwrite=True)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        pytest.param(
            {"options": replace(OPTIONS, latency_threshold_ms="5")}, "latency_threshold_ms: '20'", id="option"
        ),
        pytest.param({"options": replace(OPTIONS, tickers=("A",))}, "tickers", id="tickers"),
        pytest.param({"options": replace(OPTIONS, session="other")}, "session", id="session"),
        pytest.param({"inputs": (Input(), Input("b.csv"))}, "b.csv was not among", id="another file"),
        pytest.param({"inputs": (Input(size=101),)}, "unchanged files", id="a file that grew"),
        pytest.param({"inputs": (Input(head_digest="e"),)}, "unchanged files", id="another head"),
    ],
)
def test_resuming_another_run_is_refused_naming_the_difference(
    directory: RunDirectory, changes: dict[str, Any], part: str
) -> None:
    before = content(directory)

    with pytest.raises(DirectoryRefused, match=part):
        prepare(directory, resume=True, **changes)

    assert content(directory) == before


def test_speed_may_differ_between_a_run_and_its_continuation(directory: RunDirectory) -> None:
    prepare(directory, options=replace(OPTIONS, speed=50.0), resume=True)


def test_logs_that_no_run_left_are_refused_even_for_resume(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    (tmp_path / "errors.log").write_text("left by somebody\n")

    with pytest.raises(DirectoryRefused, match="no run of this program"):
        prepare(directory, resume=True)
    with pytest.raises(DirectoryRefused, match="no run of this program"):
        prepare(directory)
    assert (tmp_path / "errors.log").read_text() == "left by somebody\n"


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"], ids=["empty", "torn", "another shape", "zeros"])
def test_manifest_that_cannot_be_read_is_refused_and_can_be_overwritten(directory: RunDirectory, text: str) -> None:
    directory.manifest.write_text(text)

    with pytest.raises(DirectoryRefused, match="--overwrite"):
        prepare(directory, resume=True)

    prepare(directory, overwrite=True)
    prepare(directory, resume=True)


def test_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DirectoryRefused, match="not a directory"):
        prepare(RunDirectory(tmp_path / "file"))
    with pytest.raises(DirectoryRefused, match="cannot write"):
        prepare(RunDirectory(tmp_path / "file" / "below"))


def test_directory_in_use_is_refused_for_everybody_else(directory: RunDirectory) -> None:
    with directory.prepared(OPTIONS, (Input(),), resume=True, overwrite=False):  # type: ignore[arg-type]
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(DirectoryRefused, match="in use"):
                prepare(directory, **how)
        assert (directory.path / "mid_prices.log").exists()


class Refused(Exception):
    """What a run may end with."""


def refuse(
    directory: RunDirectory, message: str = "no", *, writes: str = "", resume: bool = False, overwrite: bool = False
) -> Refused:
    """Let a run be refused after it wrote `writes`, and return what it raised."""
    refusal = Refused(message)

    def run() -> None:
        with directory.prepared(OPTIONS, INPUTS, resume=resume, overwrite=overwrite, refusals=(Refused,)):
            (directory.path / "mid_prices.log").write_text(writes)
            (directory.path / "errors.log").touch()
            (directory.private / "position").write_bytes(b"p")
            (directory.server_logs / "replay.log").write_text("no\n")
            raise refusal

    with pytest.raises(Refused):
        run()
    return refusal


@pytest.mark.parametrize("there", ["nothing", "directory", "foreign file"])
def test_a_refused_run_leaves_the_place_as_it_was(tmp_path: Path, there: str) -> None:
    directory = RunDirectory(tmp_path / "deep" / "out")
    if there != "nothing":
        directory.path.mkdir(parents=True)
    if there == "foreign file":
        (directory.path / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))

    refuse(directory)

    assert sorted(tmp_path.rglob("*")) == before
    prepare(directory)


def test_a_refused_run_that_overwrites_gives_back_what_was_there(directory: RunDirectory) -> None:
    (directory.private / "position").write_bytes(b"earlier")
    (directory.private / "lock").touch()
    before = content(directory)

    refuse(directory, overwrite=True)

    assert content(directory) == before
    prepare(directory, resume=True)


def test_a_refused_run_that_resumes_changes_nothing(directory: RunDirectory) -> None:
    (directory.path / "mid_prices.log").write_text("")

    refuse(directory, resume=True)

    assert (directory.path / "mid_prices.log").exists()
    prepare(directory, resume=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_is_refused_after_it_wrote_keeps_that_and_says_how_to_go_on(tmp_path: Path, overwrite: bool) -> None:
    directory = RunDirectory(tmp_path / "out")
    if overwrite:
        prepare(directory)

    refusal = refuse(directory, writes="a new line\n", overwrite=overwrite)

    assert "--overwrite" in refusal.__notes__[0]
    assert (directory.path / "mid_prices.log").read_text() == "a new line\n"
    assert not directory.replaced.exists()


def test_the_logs_stay_when_a_refusal_points_to_them(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "out")

    refuse(directory, f"it refused, see {directory.server_logs / 'replay.log'}")

    assert (directory.server_logs / "replay.log").read_text() == "no\n"
    prepare(directory)


def test_a_run_that_ends_well_drops_what_it_replaced(directory: RunDirectory) -> None:
    prepare(directory, overwrite=True)

    assert not directory.replaced.exists()


def test_a_lock_that_was_taken_away_locks_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = RunDirectory(tmp_path / "out")
    real = run_directory.fcntl.flock

    def late(lock: Any, how: int) -> None:
        (directory.private / "run.lock").unlink()
        real(lock, how)

    monkeypatch.setattr(run_directory.fcntl, "flock", late)

    with pytest.raises(DirectoryRefused, match="in use"):
        prepare(directory)


@pytest.mark.parametrize(
    ("now", "part"),
    [
        ((Input(size=2_000),), "a.csv changed: it had 100 bytes then and has 2,000 now"),
        ((Input(head_digest="e"),), "a.csv changed: it begins with something else now"),
        (
            (Input(mtime_ns=1_735_689_600_500_000_000),),
            r"a.csv changed: it was written at 1970-.* then and at 2025-01-01 00:00:00.500000 UTC now",
        ),
        ((Input(), Input("b.csv")), "b.csv was not among them then"),
        ((Input("b.csv"),), "a.csv was one of 1 then and is not named now; b.csv was not among them"),
    ],
    ids=["longer", "other head", "touched", "one more", "another"],
)
def test_a_resume_is_told_which_input_changed_and_how(
    directory: RunDirectory, now: tuple[Input, ...], part: str
) -> None:
    with pytest.raises(DirectoryRefused, match=part):
        prepare(directory, inputs=now, resume=True)


def test_a_resume_is_told_that_the_inputs_come_in_another_order(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "out")
    prepare(directory, inputs=(Input(), Input("b.csv")))

    with pytest.raises(DirectoryRefused, match="another order"):
        prepare(directory, inputs=(Input("b.csv"), Input()), resume=True)


@pytest.fixture
def parted(tmp_path: Path) -> RunDirectory:
    """A directory with a run of two partitions in it."""
    used = RunDirectory(tmp_path / "out", partitions=2, resumable=False)
    with used.prepared(OPTIONS, INPUTS, resume=False, overwrite=False):  # type: ignore[arg-type]
        (used.private / "lock").touch()
        write_parts(used, "a line\n")
    return used


def write_parts(directory: RunDirectory, text: str) -> None:
    for name in ("p0", "p1", "p1.1"):
        (directory.path / name / ".midstream").mkdir(parents=True, exist_ok=True)
        (directory.path / name / ".midstream" / "lock").touch()
        (directory.path / name / "mid_prices.log").write_text(text)


def test_logs_of_partitions_are_refused_and_replaced_like_any_others(parted: RunDirectory) -> None:
    (parted.path / "p7").mkdir()
    with pytest.raises(DirectoryRefused, match="already holds p0; replace it with --overwrite, or"):
        prepare(parted)

    with parted.prepared(OPTIONS, INPUTS, resume=False, overwrite=True):  # type: ignore[arg-type]
        # Somebody's own directory stays.
        assert sorted(path.name for path in parted.path.iterdir()) == [".midstream", "p7"]
        assert not parted.holds_output()
        write_parts(parted, "another\n")
        assert parted.holds_output()

    assert not parted.replaced.exists()
    assert (parted.path / "p1.1" / "mid_prices.log").read_text() == "another\n"


def test_a_refused_run_gives_back_the_logs_of_partitions(parted: RunDirectory) -> None:
    before = content(parted)

    def run() -> None:
        with parted.prepared(OPTIONS, INPUTS, resume=False, overwrite=True, refusals=(Refused,)):  # type: ignore[arg-type]
            write_parts(parted, "")
            raise Refused

    with pytest.raises(Refused):
        run()

    assert content(parted) == before
