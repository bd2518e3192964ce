"""What a file is that is no text with one row per line, or one whose header cannot be used, and how to make one of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

_TABLE: Final = "write it as CSV, for example with `duckdb -c \"COPY (FROM '{name}') TO 'ticks.csv'\"`"
_BINARY: Final[Sequence[tuple[bytes, str, str]]] = (
    (b"BZh", "bzip2-compressed", "decompress it: `bzip2 -dk {name}`"),
    (b"\xfd7zXZ\x00", "xz-compressed", "decompress it: `xz -dk {name}`"),
    (b"]\x00\x00", "LZMA-compressed", "decompress it: `xz -dk --format=lzma {name}`"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "decompress it: `zstd -dk {name}`"),
    (b"\x04\x22\x4d\x18", "lz4-compressed", "decompress it: `lz4 -dk {name}`"),
    (b"\x02\x21\x4c\x18", "lz4-compressed", "decompress it: `lz4 -dk {name}`"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy-compressed", "decompress it first"),
    (b"LZIP", "lzip-compressed", "decompress it: `lzip -dk {name}`"),
    (b"\x1f\x9d", "compressed with `compress`", "decompress it: `gzip -dk {name}`"),
    (b"\x1f\x8b", "gzip-compressed twice", "decompress it once: `gzip -dk {name}`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and name the files in it"),
    (b"Rar!", "a RAR archive", "unpack it and name the files in it"),
    (b"PAR1", "a Parquet file", _TABLE),
    (b"ARROW1", "an Arrow file", "write it as CSV with the program that reads it"),
    (b"FEA1", "a Feather file", "write it as CSV with the program that reads it"),
    (b"ORC", "an ORC file", "write it as CSV with the program that reads it"),
    (b"Obj\x01", "an Avro file", "write it as CSV with the program that reads it"),
    (b"\x89HDF", "an HDF5 file", "write it as CSV with the program that reads it"),
    (b"\x93NUMPY", "a NumPy array", "write it as CSV with the program that reads it"),
    (b"DBN", "a Databento DBN file", "write it as CSV: `dbn {name} --csv`, with the columns of one of our layouts"),
    (b"SQLite format 3\x00", "a SQLite database", "export its table as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV, comma-separated, in UTF-8"),
    (b"%PDF", "a PDF document", "name a CSV file"),
)
_ZIPPED: Final[Sequence[tuple[bytes, str, str]]] = (
    (b"xl/", "an Excel workbook", "save the sheet as CSV, comma-separated, in UTF-8"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file", "save the sheet as CSV, comma-separated, in UTF-8"),
    (b".npy", "a NumPy archive", "write it as CSV with the program that reads it"),
    (b"", "a zip archive", "unpack it: `unzip {name}`, and name the files in it"),
)
_ENCODINGS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_ANSWERS: Final = (b"<!doctype", b"<html", b"<?xml", b"<error")
_ONLY: Final = "text with one row per line is read, plain or gzipped"
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x80-\xff]")
_VALUE: Final = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]?.*|[0-9/.:\- ]+")


def what_it_is(head: bytes, name: str) -> str:
    """Return a sentence with the fix when a (decompressed) file that begins like this is surely no text of ours, else an empty string."""
    for mark, what, fix in _BINARY:
        # A column may have the name of a format.
        if head.startswith(mark) and _NO_TEXT.search(head[:64]):
            return _sentence(name, what, fix)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        what, fix = next((what, fix) for mark, what, fix in _ZIPPED if mark in head)
        return _sentence(name, what, fix)
    if head[257:262] == b"ustar":
        return _sentence(name, "a tar archive", "unpack it: `tar -xf {name}`, and name the files in it")
    encoding = _encoding(head)
    if encoding:
        return _sentence(name, f"{encoding} text", f"convert it: `iconv -f {encoding} -t UTF-8 {{name}} > ticks.csv`")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"["):
        return _sentence(name, "JSON", "write it as CSV with a header; JSON is read from a live feed only")
    if text[:9].lower().startswith(_ANSWERS):
        return _sentence(name, "a web page or XML", "it may be the answer of a failed download: get the file again")
    if not head.strip(b"\0"):
        return f"{name} begins with {len(head):,} bytes that are zero: it is damaged or was never written, get it again"
    if b"\0" in head.partition(b"\n")[0]:
        return f"{name} is a binary file of a kind that is not known here; {_ONLY}"
    return ""


def _sentence(name: str, what: str, fix: str) -> str:
    return f"{name} is {what}, which is not read here; {fix.format(name=shlex.quote(name))}"


def _encoding(head: bytes) -> str:
    for mark, encoding in _ENCODINGS:
        if head.startswith(mark):
            return encoding
    # Without a mark: every second byte of western text is zero.
    even, odd = head[0:200:2], head[1:200:2]
    if len(odd) >= 8 and not odd.strip(b"\0") and b"\0" not in even:
        return "UTF-16LE"
    if len(odd) >= 8 and not even.strip(b"\0") and b"\0" not in odd:
        return "UTF-16BE"
    return ""


def line_ends(head: bytes) -> str:
    """Return what is wrong with the ends of lines, with the fix; empty when nothing is."""
    if b"\r" in head and b"\n" not in head:
        return "its lines end with CR alone; convert it: `tr '\\r' '\\n' < {name} > ticks.csv`"
    if b"\r\r\n" in head[: head.find(b"\n") + 1]:
        return "its lines end with CR CR LF, as when text is converted twice; convert it: `tr -d '\\r' < {name} > ticks.csv`"
    return ""


def header_advice(line: bytes, layouts: Sequence[Sequence[str]]) -> str:
    """Return why a first line is no header of one of `layouts` where that can be told, with the fix."""
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    known = {column for columns in layouts for column in columns}
    best = min(layouts, key=lambda columns: sum(column not in text for column in columns))
    for delimiter, shown in ((";", "`;`"), ("\t", "tabs"), ("|", "`|`")):
        names = {part.strip(' "') for part in text.split(delimiter)}
        if len(names & known) > 1:
            decimals = ", and decimals with a point" if delimiter == ";" else ""
            return f"its columns are separated by {shown}; separate them by commas{decimals}"
    parts = [part.strip(' "') for part in text.split(",")]
    if text.startswith("#") or text.lower().startswith("sep="):
        return "its first line is no header but a comment or a setting; take it out, so that the first line names the columns"
    if len({part.lower() for part in parts} & known) > len(set(parts) & known):
        return f"column names are written in small letters: {','.join(best)}"
    if len(parts) > 3 and sum(bool(_VALUE.fullmatch(part)) for part in parts) * 2 >= len(parts):
        return f"its first line holds values, so the header is missing; put one in front that names the columns: {','.join(best)}"
    return ""
