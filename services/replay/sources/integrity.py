"""Up to where the rows of a damaged file can be believed.

A check sum that does not fit says that something before it is wrong, and not what: most of what is decompressed from there on still reads
as rows, and some of it as good ones. What can be known of that is known before the first row leaves: the first row of the doubted part that
cannot be used, or that goes back in time, ends the file.
"""

from __future__ import annotations

from typing import Final

from fastpath.columns import Block, Tickers
from fastpath.records import SourceCursor
from fastpath.rules import UnsortedSource
from services.replay.sources.inputs import InputFile
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import LATENCY_BOUND_MIN, Damage, Reading, Skim

CHUNK_ROWS: Final = 8192


def find_damage(opened: InputFile, options: HistoricalOptions, skim: Skim) -> Damage | None:
    """Find where the rows stop being believable; None: where they stop being readable, or nowhere."""
    # Of a file that was only cut, nothing is doubted but an order that nobody wants to mend.
    if not skim.damage or (skim.doubted_from < 0 and options.unsorted == "sort"):
        return None
    as_is = HistoricalOptions(fraction_unit_us=options.fraction_unit_us)
    place = opened.content.beginning
    # Coarsely first, then row by row where something was found.
    for rows_at_once in (CHUNK_ROWS, 1):
        found = _first_bad(opened, as_is, place, rows_at_once, skim.doubted_from)
        if found is None:
            return None
        place = found
    return Damage(f"{skim.damage}: nothing from here on can be believed", place.offset)


def _first_bad(
    opened: InputFile, options: HistoricalOptions, begin: SourceCursor, rows_at_once: int, doubted_from: int
) -> SourceCursor | None:
    """Return the place before the first rows of which one is bad."""
    tickers = Tickers()
    block = Block(tickers)
    rows = opened.content.read(Reading(tickers, options, begin, latency_bound_ns=LATENCY_BOUND_MIN))
    before = place = begin
    while not rows.finished:
        before, place = place, rows.place()
        try:
            rows.feed(block, rows_at_once)
        except UnsortedSource:
            # Where any byte may be wrong, it may as well be the row before that jumped ahead.
            return before if doubted_from >= 0 else place
        if 0 <= doubted_from < rows.place().offset and _has_rejection(block, rows.damage):
            return place
        block.clear()
    return None


def _has_rejection(block: Block, damage: str) -> bool:
    # The reader's own last word about the damage is no row of the file.
    return any(len(row) == 3 and row[1] != damage for row in block.to_rows())
