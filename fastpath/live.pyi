"""Live JSON frames to columns: each object of a websocket message becomes a row of a Block, or a rejection."""

from collections.abc import Container

from typing_extensions import Buffer

from fastpath.columns import Block

def decode_live_frame(
    payload: Buffer | str,
    into: Block,
    *,
    receive_time_ns: int,
    source_rank: int,
    frame_number: int,
    only_tickers: Container[str] | None = None,
    rejections_elsewhere: bool = False,
) -> int:
    """Decode one websocket message (an object or an array of objects) in the assignment's live layout.

    Arrival is `receive_time_ns`. What cannot be used becomes one rejection, per object of an array even where that is no JSON as a whole.
    Returns how many rows a ticker filter left out. Row numbers are `frame_number`. Prices and amounts are JSON numbers, strings that match
    the grammar, or null (missing), which NaN and Infinity are read as; the timestamp is a string or an epoch integer. Extra keys are
    tolerated, a missing key is a rejection naming it.
    With `rejections_elsewhere` what cannot be used is left out: another partition has it.
    It never raises for what `payload` holds.
    """
