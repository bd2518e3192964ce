"""Where the command line speaks: whatever goes to the terminal passes here, so that no name or value can act upon it."""

from __future__ import annotations

import sys
from pathlib import Path

from services.runtime.printable import printable


def say(text: str) -> None:
    """Tell the person at the terminal; stdout stays free for results."""
    print(printable(text), file=sys.stderr)


def write(text: str) -> None:
    """Print a result."""
    print(printable(text))


def shown_path(path: Path) -> str:
    """Return how to name a file: from the folder that one stands in where it is below that, else whole."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def one_line(text: str) -> str:
    """Return text for a row of a table: nothing in it begins another one."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
