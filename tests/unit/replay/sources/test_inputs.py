"""Names that may be named as inputs, and the refusal of everything else."""

from __future__ import annotations

import gzip
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput, fingerprint_difference
from services.replay.sources.inputs import expand, fingerprint, open_inputs
from services.runtime.errors import StartRefused

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
ROW = "1,2025-01-01 00:00:00,BTC,1,201,200,1,5\n"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def write(path: Path, text: str = HEADER + ROW) -> str:
    path.write_text(text)
    return str(path)


def make_missing(path: Path) -> None:
    pass


def make_directory(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_empty(path: Path) -> None:
    path.touch()


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_wrong_header(path: Path) -> None:
    write(path, "timestamp,price\n1,2\n")


def make_binary(path: Path) -> None:
    path.write_bytes(b"x" * 200_000)


def make_empty_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b""))


def make_gzip_cut_in_its_header(path: Path) -> None:
    path.write_bytes(gzip.compress(os.urandom(5000))[:8])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("make", "says", "fix"),
    [
        (make_missing, "does not exist", "check the name"),
        (make_directory, "a directory", "name a CSV file"),
        (make_fifo, "a FIFO", "name a CSV file"),
        (make_socket, "a socket", "name a CSV file"),
        (make_device, "a device", "name a CSV file"),
        (make_empty, "is empty", "leave it out"),
        (make_wrong_header, "lacks", "needs"),
        (make_binary, "no line end", "name a CSV file"),
        (make_empty_gzip, "holds no data", "leave it out"),
        (make_gzip_cut_in_its_header, "ends early", "get the file again"),
    ],
)
def test_unusable_file_is_refused_in_one_line_naming_it_and_the_fix(
    tmp_path: Path, make: Callable[[Path], None], says: str, fix: str
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    write(good)
    make(bad)
    open_before = descriptors()

    with pytest.raises(UnusableInput) as refusal:
        HistoricalSource([str(good), str(bad)], HistoricalOptions()).open()

    assert isinstance(refusal.value, StartRefused)
    message = str(refusal.value)
    assert str(bad) in message
    assert says in message
    assert fix in message
    assert "\n" not in message
    assert descriptors() == open_before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.csv"
    write(path)
    path.chmod(0)

    with pytest.raises(UnusableInput, match="permission denied"):
        open_inputs([str(path)])


def test_missing_relative_name_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UnusableInput, match=str(tmp_path)):
        open_inputs(["nowhere.csv"])


def test_file_with_only_a_header_has_no_rows_and_is_fine(tmp_path: Path) -> None:
    opened = open_inputs([write(tmp_path / "a.csv", HEADER), write(tmp_path / "b.csv", HEADER.rstrip("\n"))])

    assert [file.content.beginning.offset for file in opened] == [len(HEADER), len(HEADER) - 1]
    for file in opened:
        file.close()


def test_file_named_twice_is_refused_whatever_it_is_called(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to(path)
    os.link(path, tmp_path / "c.csv")

    with pytest.raises(UnusableInput, match="named twice"):
        open_inputs([path, path])
    with pytest.raises(UnusableInput, match=r"b\.csv and .*a\.csv are the same file"):
        open_inputs([str(tmp_path / "*.csv")])


def test_patterns_are_sorted_within_and_kept_in_order_between(tmp_path: Path) -> None:
    for name in ("b2.csv", "b10.csv", "a.csv", "[x].csv"):
        write(tmp_path / name)

    names = expand([str(tmp_path / "b*.csv"), str(tmp_path / "a.csv"), str(tmp_path / "[x].csv")])

    assert [Path(name).name for name in names] == ["b10.csv", "b2.csv", "a.csv", "[x].csv"]


@pytest.mark.parametrize("patterns", [[], ["/nonexistent/*.csv"]], ids=["none", "no match"])
def test_no_file_at_all_is_refused(patterns: list[str]) -> None:
    with pytest.raises(UnusableInput, match=r"name at least one|no file matches"):
        expand(patterns)


def test_name_with_a_nul_is_refused() -> None:
    with pytest.raises(UnusableInput, match="is no file name"):
        open_inputs(["a\0b"])


def test_gzip_is_told_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.csv.gz", tmp_path / "packed.csv"
    write(plain)
    packed.write_bytes(gzip.compress((HEADER + ROW).encode()))

    opened = open_inputs([str(plain), str(packed)])

    assert [file.content.compressed for file in opened] == [False, True]
    for file in opened:
        file.close()


def test_fingerprint_tells_changed_files_from_changed_options(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def print_of(options: HistoricalOptions) -> str:
        (opened,) = open_inputs([str(path)])
        opened.close()
        return fingerprint([opened], options)

    write(path)
    os.utime(path, ns=(10**18, 10**18))
    first = print_of(HistoricalOptions(tickers=("A", "B")))
    again = print_of(HistoricalOptions(tickers=("B", "A")))
    other_options = print_of(HistoricalOptions(tickers=("A",)))
    write(path, HEADER + ROW.replace("200", "199"))
    os.utime(path, ns=(10**18, 10**18))
    other_content = print_of(HistoricalOptions(tickers=("A", "B")))
    os.utime(path, ns=(10**18, 10**18 + 1))
    other_time = print_of(HistoricalOptions(tickers=("A",)))

    assert again == first
    assert fingerprint_difference(first, again) == ""
    assert fingerprint_difference(first, other_options) == "the options changed"
    assert fingerprint_difference(first, other_content) == f"`{path}` changed"
    assert fingerprint_difference(first, other_time) == f"`{path}` changed and the options changed"


def test_fingerprint_names_the_file_that_changed_came_or_went(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{name}, 1=.csv")) for name in "abc"]

    def print_of(*names: str) -> str:
        opened = open_inputs(names)
        for file in opened:
            file.close()
        return fingerprint(opened, HistoricalOptions())

    first = print_of(*paths)

    assert fingerprint_difference(first, print_of(*paths[:2])) == f"`{paths[2]}` is not among the inputs any more"
    assert fingerprint_difference(print_of(*paths[1:]), first) == f"`{paths[0]}` is a new input"
    assert fingerprint_difference(first, print_of(*paths[::-1])) == "the input files come in another order"
    write(Path(paths[1]), HEADER + ROW + ROW)
    assert fingerprint_difference(first, print_of(*paths)) == f"`{paths[1]}` changed"


def test_fingerprint_of_many_files_stays_short_and_still_tells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    (opened,) = open_inputs([str(path)])
    opened.close()

    many, more = (fingerprint([opened] * count, HistoricalOptions()) for count in (1000, 1001))

    assert len(many) < 200
    assert fingerprint_difference(many, more) == "the input files changed"


def test_more_files_than_the_soft_limit_are_opened(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    paths = [write(tmp_path / f"{number}.csv") for number in range(80)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors() + 70, before[0]), before[1]))
    try:
        opened = open_inputs(paths)
        for file in opened:
            file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert len(opened) == 80


def test_source_gives_every_descriptor_back(tmp_path: Path) -> None:
    open_before = descriptors()
    source = HistoricalSource([write(tmp_path / "a.csv"), write(tmp_path / "b.csv")], HistoricalOptions())
    source.open()
    assert descriptors() == open_before + 2

    source.stop()

    assert descriptors() == open_before
