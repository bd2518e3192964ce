"""Where the command line speaks: whatever goes to the terminal passes here, so that no name or value can act upon it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from services.cli.signals import PIPE_CLOSED, leave_stdout
from services.runtime.printable import printable


def say(text: str) -> None:
    """Tell the person at the terminal; stdout stays free for results."""
    print(printable(text), file=sys.stderr)


def write(text: str) -> None:
    """Print a result, at once. A reader that has gone ends the command: nobody wants what comes next."""
    try:
        print(printable(text), flush=True)
    except BrokenPipeError:
        leave_stdout()
        sys.exit(PIPE_CLOSED)


def shown_path(path: Path) -> str:
    """Return how to name a file: from the folder that one stands in where it is below that, else whole."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def one_line(text: str) -> str:
    """Return text for a row of a table: nothing in it begins another one."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def is_terminal() -> bool:
    """Whether results go to a person's screen."""
    return sys.stdout.isatty()


def width() -> int | None:
    """Return the columns that a result may take; None is a file or a pipe, where a line is as long as it is."""
    return shutil.get_terminal_size().columns if is_terminal() or os.environ.get("COLUMNS") else None


def clear() -> None:
    """Empty the screen, where there is one that can."""
    if is_terminal() and os.environ.get("TERM", "dumb") != "dumb":
        print("\x1b[H\x1b[2J", end="")


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return rows in columns; `right` are those to align there.

    What does not fit is wrapped in the last column, and below the others where that would be too narrow.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]) - 1)] if cells else []
    lines: list[str] = []
    columns = width()
    for *fixed, last in cells:
        head = "  ".join(
            cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(fixed)
        )
        if columns is None or len(head) + 2 + len(last) <= columns:
            lines.append(f"{head}  {last}".rstrip())
        elif columns - len(head) - 2 >= _WRAPPED_COLUMNS_MIN:
            lines += textwrap.wrap(f"{head}  {last}", columns, subsequent_indent=" " * (len(head) + 2)) or [head]
        else:
            indent = " " * 4
            # Columns that have no room help nobody.
            lines += textwrap.wrap("  ".join(fixed) if len(head.rstrip()) > columns else head, columns) or [""]
            lines += textwrap.wrap(last, max(columns, 20), initial_indent=indent, subsequent_indent=indent)
    return lines


_WRAPPED_COLUMNS_MIN = 30
