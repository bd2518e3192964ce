"""The last quote of every ticker as the records arrived: what a replay tells where its time is moved."""

from typing import NamedTuple, Self, final

from typing_extensions import Buffer

from fastpath.columns import Block, Tickers

class Quote(NamedTuple):
    """A quote of one ticker; NaN is what its source did not give."""

    ticker: str
    event_time_ns: int
    arrival_time_ns: int
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float

@final
class LastQuotes:
    """The last quote of every ticker among the rows that were noted. Rejected rows are none."""

    tickers: Tickers
    size: int
    """Bytes of memory."""

    def __new__(cls, tickers: Tickers) -> Self: ...
    def note(self, block: Block, start: int, stop: int) -> None:
        """Take rows start..stop of `block`, which come behind all that were noted before."""

    def copy(self) -> Self:
        """Return the same quotes, which stay as they are while more are noted here."""

    def encode(self, bytes_max: int) -> list[bytes]:
        """Return the quotes as `Marker.state` lies on the wire, in the order of the tickers' bytes, in parts of about `bytes_max` at most.

        There is always a part, if an empty one.
        """

def read_quotes(state: Buffer) -> list[Quote]:
    """Return the quotes of a `Marker.state` as it lies on the wire. Raises FrameError."""
