"""What a process makes is its owner's alone, whatever umask it was started with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from clients.secrets.private_files import (
    make_private,
    make_private_below,
    open_private,
    private_directory,
    shared_directory,
)

__all__ = [
    "UMASK",
    "keep_files_private",
    "make_private",
    "make_private_below",
    "open_private",
    "private_directory",
    "private_opener",
    "shared_directory",
    "user_umask",
]

UMASK: Final = 0o077
_user: int = -1


def keep_files_private() -> None:
    """From now on new files, directories and sockets of this process are its owner's alone: also those that libraries make."""
    global _user
    before = os.umask(UMASK)
    if _user < 0:
        _user = before


def user_umask() -> int:
    """Return the umask that this process was started with, for children that write what users read; -1 changes nothing."""
    return _user


def private_opener(path: str, flags: int) -> int:
    """Be the `opener` of `open`."""
    return open_private(Path(path), flags)
