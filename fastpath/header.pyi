"""The first line of a text file: which layout it has, and where each column stands."""

import enum
from typing import final

class HeaderError(ValueError):
    """The header lacks columns that its layout needs; the message names them and the columns that were found."""

class Layout(enum.IntEnum):
    """The known layouts of a header; ASSIGNMENT when its columns would do for both."""

    ASSIGNMENT = 1
    TARDIS = 2

@final
class Header:
    """The columns of a file by name. Extra and unnamed columns are tolerated; a column named twice is refused.

    `line` is the first line, with or without byte order mark and line end.
    """

    layout: Layout
    columns: tuple[str, ...]
    def __init__(self, line: bytes) -> None: ...

def layout_columns(layout: Layout) -> tuple[str, ...]:
    """Return the columns that a layout needs."""
