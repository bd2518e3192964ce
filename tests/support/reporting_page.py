"""Read the dashboard's HTML as a person in front of a wide screen does."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

__all__ = ["row_cells", "rows_of", "seen_text"]

UNSEEN: Final = {"narrow", "unseen"}
"""Classes of what is for phones, or for the ear."""
VOID: Final = {"input", "meta", "link", "br"}


class _Rows(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[str]] = {}
        self.text = ""
        self._row = ""
        self._in_cell = False
        self._depth = 0
        self._unseen_at: int | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        self._depth += 1
        given = dict(attrs)
        if self._unseen_at is None and UNSEEN & set((given.get("class") or "").split()):
            self._unseen_at = self._depth
        if tag == "tr":
            self._row = given.get("id") or (given.get("class") or "").strip()
            self.rows[self._row] = []
        elif tag in ("td", "th") and self._row:
            self._in_cell = True
            self.rows[self._row].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if self._unseen_at == self._depth:
            self._unseen_at = None
        self._depth -= 1
        if tag in ("td", "th"):
            self._in_cell = False
        elif tag == "tr":
            self._row = ""

    def handle_data(self, data: str) -> None:
        if self._unseen_at is None:
            self.text += f" {data}"
            if self._in_cell and self._row:
                self.rows[self._row][-1] += f" {data}"


def _read(html: str) -> _Rows:
    reader = _Rows()
    reader.feed(html)
    return reader


def rows_of(html: str) -> dict[str, list[str]]:
    """Return the texts of every row by its id or class."""
    return {name: [" ".join(cell.split()) for cell in cells] for name, cells in _read(html).rows.items()}


def row_cells(html: str, row: str) -> list[str]:
    """Return the texts of the row of a period: period, bought, sold, net, average, reference, result, gate."""
    return rows_of(html)[f"row-{row}"]


def seen_text(html: str) -> str:
    """Return everything that is to be read."""
    return " ".join(_read(html).text.split())
