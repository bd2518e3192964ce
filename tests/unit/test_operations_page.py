"""docs/operations.md has the table that tests/chaos/test_hung.py plays through."""

from __future__ import annotations

from tests.support.hung import ROWS, table, table_of_page


def test_the_table_is_what_is_played_through() -> None:
    assert table_of_page() == table(), "run `python -m tests.support.hung --write`"


def test_every_row_is_of_its_own() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)
