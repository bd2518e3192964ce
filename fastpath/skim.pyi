"""What the bytes of a file tell without its rows being read."""

from typing import final

from typing_extensions import Buffer

from fastpath.header import Header

@final
class TickerSkim:
    """Finds the tickers of one file's lines, and counts these.

    It says only what every decoder would find as well: that a row that can be used has one of these tickers, and that every line is one
    row, usable or not. With a quote anywhere, a ticker that is no visible ASCII as it stands, more than `names_max` of them, a line that
    has no such field (a blank one, for example), a last one without a line end, or one over 64 KiB where two chunks meet, it says nothing.
    """

    def __init__(self, header: Header, *, names_max: int) -> None: ...
    def add(self, chunk: Buffer) -> bool:
        """Look at the next bytes, from the first line behind the header on; they may end anywhere. The GIL is released.

        False: nothing can be said of this file, whatever follows."""

    def finish(self) -> tuple[tuple[str, ...], int] | None:
        """Return the tickers and the number of lines, once all bytes were added; None when that is not certain."""
