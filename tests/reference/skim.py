"""What `fastpath.skim` tells of the lines of a file, spelled plainly."""

from __future__ import annotations

from collections.abc import Sequence

TICKER_BYTES_MAX = 256


def file_tickers(content: bytes, columns: Sequence[int], names_max: int) -> tuple[tuple[str, ...], int] | None:
    """Return the tickers of whole lines and how many lines there are; `columns` are those of which a ticker is made."""
    if b'"' in content or (content and not content.endswith(b"\n")):
        return None
    lines = content.split(b"\n")[:-1]
    names: dict[str, None] = {}
    for line in lines:
        fields = line.split(b",")
        parts = [fields[column] if column < len(fields) else b"" for column in columns]
        name = b"@".join(parts)
        is_plain = all(b"!" <= name[i : i + 1] <= b"~" for i in range(len(name)))
        if not all(parts) or not is_plain or len(name) > TICKER_BYTES_MAX:
            return None
        names.setdefault(name.decode())
    return (tuple(names), len(lines)) if len(names) <= names_max else None
