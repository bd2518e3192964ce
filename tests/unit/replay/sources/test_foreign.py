"""A file that is not read is refused with what it is and what makes one of it that is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from fastpath.header import Layout, layout_columns
from services.replay.sources import UnusableInput
from services.replay.sources.inputs import open_inputs
from tests.support.replayed import replay

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
ROW = "0,2025-01-01 00:00:00,A,1,101,100,1,1"
TEXT = f"{HEADER}\n{ROW}\n"


def zipped(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, TEXT)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("ticks.csv")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT.encode()))
    return out.getvalue()


FOREIGN = {
    "bzip2": (bz2.compress(TEXT.encode()), "bzip2", "bzip2 -dk"),
    "xz": (lzma.compress(TEXT.encode()), "xz", "xz -dk"),
    "lzma": (lzma.compress(TEXT.encode(), lzma.FORMAT_ALONE), "LZMA", "xz -dk"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x58\x79\x02\x00" * 9, "zstd", "zstd -dk"),
    "lz4": (b"\x04\x22\x4d\x18\x64\x40\xa7\x01\x00" * 9, "lz4", "lz4 -dk"),
    "zip": (zipped("ticks.csv"), "a zip archive", "unzip"),
    "excel": (zipped("xl/workbook.xml"), "an Excel workbook", "as CSV"),
    "old excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "Excel", "as CSV"),
    "npz": (zipped("data.npy"), "NumPy", "CSV"),
    "tar": (tarred(), "a tar archive", "tar -xf"),
    "tar.gz": (gzip.compress(tarred()), "a tar archive", "tar -xf"),
    "gzip twice": (gzip.compress(gzip.compress(TEXT.encode())), "gzip-compressed twice", "gzip -dk"),
    "parquet": (b"PAR1\x15\x04\x15\x20" + bytes(100) + b"PAR1", "a Parquet file", "duckdb"),
    "dbn": (b"DBN\x02\x7a\x00\x00\x00" + bytes(100), "Databento", "dbn"),
    "json": (b'[{"timestamp": "2025-01-01 00:00:00"}]\n', "JSON", "CSV"),
    "json lines": (b'{"timestamp": "2025-01-01 00:00:00"}\n' * 3, "JSON", "CSV"),
    "web page": (b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "web page", "get the file again"),
    "utf-16 with mark": (TEXT.encode("utf-16"), "UTF-16", "iconv -f UTF-16"),
    "utf-16 le": (TEXT.encode("utf-16-le"), "UTF-16LE", "iconv"),
    "utf-16 be": (TEXT.encode("utf-16-be"), "UTF-16BE", "iconv"),
    "utf-16 gz": (gzip.compress(TEXT.encode("utf-16")), "UTF-16", "iconv"),
    "utf-32": (TEXT.encode("utf-32"), "UTF-32", "iconv"),
    "zeros": (bytes(5000), "zero", "get it again"),
    "binary": (bytes(range(256)) * 4, "binary file", "gzipped"),
    "semicolons": (TEXT.replace(",", ";").encode(), "separated by `;`", "commas"),
    "tabs": (TEXT.replace(",", "\t").encode(), "separated by tabs", "commas"),
    "bars": (TEXT.replace(",", "|").encode(), "separated by `|`", "commas"),
    "no header": (f"{ROW}\n{ROW}\n".encode(), "header is missing", "timestamp,latency,ticker"),
    "no header of an epoch": (b"0,1735689600123,A,1,101,100,1,1\n" * 2, "header is missing", "timestamp"),
    "capital letters": (TEXT.replace(HEADER, HEADER.title()).encode(), "small letters", "timestamp,latency,ticker"),
    "comment": (f"# recorded by us\n{TEXT}".encode(), "comment", "take it out"),
    "sep": (f"sep=,\n{TEXT}".encode(), "setting", "take it out"),
    "cr": (TEXT.replace("\n", "\r").encode(), "CR alone", "tr '\\r' '\\n'"),
    "cr cr lf": (TEXT.replace("\n", "\r\r\n").encode(), "CR CR LF", "tr -d '\\r'"),
    "one column": (b"price\n1\n", "lacks", "timestamp"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["ticks.csv", "ticks.bin"])
def test_a_foreign_file_is_refused_with_what_it_is_and_the_fix(tmp_path: Path, kind: str, name: str) -> None:
    content, what, fix = FOREIGN[kind]
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(UnusableInput) as refusal:
        replay([str(path)])

    message = str(refusal.value)
    assert message.startswith(str(path))
    assert what in message
    assert fix in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + TEXT,
        TEXT.replace("\n", "\r\n"),
        f"ORC,DBN,{HEADER}\nx,y,{ROW}\n",
        f"PAR1,{HEADER}\nx,{ROW}\n",
        f"{HEADER},note\n{ROW},a;b|c\n",
        f"{HEADER}\n{ROW}\n0,2025-01-01 00:00:00,A\0,1,101,100,1,1\n",
    ],
    ids=["mark", "crlf", "named like formats", "named like parquet", "other delimiters in a field", "NUL in a row"],
)
def test_a_text_that_only_looks_foreign_is_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ticks.csv"
    path.write_bytes(content.encode())

    assert len(replay([str(path)]).rows[0]) == 7


def test_standard_input_is_refused_with_the_way_round(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"standard input.*write it to a file"):
        open_inputs(["-"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnusableInput, match=r"FIFO.*to a file first"):
        open_inputs([str(tmp_path / "pipe")])


def test_a_file_that_has_the_name_of_standard_input_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "-").write_text(TEXT)
    monkeypatch.chdir(tmp_path)

    assert len(replay(["-"]).rows) == 1


def test_the_columns_of_a_layout_make_a_header_of_it() -> None:
    from fastpath.header import Header

    for layout in Layout:
        assert Header(",".join(layout_columns(layout)).encode()).layout == layout
