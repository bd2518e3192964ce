# distutils: language = c++
"""The first line of a text file: which layout it has, and where each column stands."""

import enum

cimport cython

from fastpath.text cimport LINE_SIZE_MAX, QUOTE_COLUMNS, QUOTES_GOOD, Line, split


class HeaderError(ValueError):
    """The header lacks columns that its layout needs; the message names them and the columns that were found."""


class Layout(enum.IntEnum):
    """The known layouts of a header; ASSIGNMENT when its columns would do for both."""

    ASSIGNMENT = 1
    TARDIS = 2


_QUOTE = tuple([QUOTE_COLUMNS[i].decode() for i in range(4)])
# The columns of each layout's parts, in the order of `Part`.
_NEEDED = {
    Layout.ASSIGNMENT: ("timestamp", "latency", "ticker", None, *_QUOTE),
    Layout.TARDIS: ("timestamp", "local_timestamp", "symbol", "exchange", *_QUOTE),
}
_LAYOUT_NAMES = {Layout.ASSIGNMENT: "assignment", Layout.TARDIS: "Tardis"}


@cython.final
@cython.auto_pickle(False)
cdef class Header:
    """The columns of a file by name. Extra and unnamed columns are tolerated; a column named twice is refused."""

    def __init__(self, bytes line not None):
        self.columns = _header_columns(line)
        named = [name for name in self.columns if name]
        for name in named:
            if named.count(name) > 1:
                raise HeaderError(f"the header names `{name}` twice; rename one of the columns")
        self.layout = _layout(set(named))
        needed = _NEEDED[self.layout]
        missing = [name for name in needed if name is not None and name not in named]
        if missing:
            found = ", ".join(f"`{name}`" for name in named)[:500]
            raise HeaderError(
                f"the header lacks {', '.join(f'`{name}`' for name in missing)}, which the {_LAYOUT_NAMES[self.layout]} layout"
                f" needs; it has {found or 'no named column'}"
            )
        for part, name in enumerate(needed):
            self.position[part] = self.columns.index(name) if name is not None else 0
        self.needed_count = 1 + max(self.columns.index(name) for name in needed if name is not None)


def layout_columns(layout):
    """Return the columns that a layout needs."""
    return tuple(name for name in _NEEDED[Layout(layout)] if name is not None)


def _layout(set named):
    # Whole layouts first (the task's own wins), then the one that the header comes closest to, for a message that helps.
    for layout in Layout:
        if named.issuperset(name for name in _NEEDED[layout] if name is not None):
            return layout
    return Layout.TARDIS if named & {"local_timestamp", "symbol", "exchange"} else Layout.ASSIGNMENT


def _header_columns(bytes raw):
    cdef Line line
    cdef bytes text = raw.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
    if len(text) > <Py_ssize_t>LINE_SIZE_MAX:
        raise HeaderError(f"the header is longer than {LINE_SIZE_MAX} bytes; is this a text file with one line per row?")
    if b"\0" in text or b"\n" in text:
        raise HeaderError("the header holds a NUL byte or a line end; only UTF-8 text with one line per row can be read")
    if not text.strip():
        raise HeaderError("the file has no header; its first line must name the columns")
    line.begin = <const char*>text
    line.end = line.begin + len(text)
    line.fields.resize(text.count(b",") + 1)
    if split(line) != QUOTES_GOOD:
        raise HeaderError("the header has a quote that is not closed, or text behind a closing quote")
    columns = []
    for i in range(line.count):
        name = line.fields[i].begin[:line.fields[i].size()]
        try:
            columns.append(name.decode("utf-8").strip(" "))
        except UnicodeDecodeError:
            raise HeaderError(f"the header's column {i + 1} is not valid UTF-8: {name[:40]!r}") from None
    return tuple(columns)
