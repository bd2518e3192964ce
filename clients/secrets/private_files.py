"""Files and directories that only their owner may use, whatever the umask says."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from clients.logs import fields

__all__ = [
    "make_private",
    "make_private_below",
    "open_private",
    "private_directory",
    "shared_directory",
    "write_once",
]

logger = logging.getLogger(__name__)

PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
SHARED_DIRECTORY: Final = 0o755
"""Others may pass, and put nothing there."""


def shared_directory(path: Path) -> Path:
    """Make a directory, and those above it, in which others may look as far as the umask lets them, and never write. Return it."""
    for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=SHARED_DIRECTORY)
    return path


def private_directory(path: Path) -> Path:
    """Make a directory that only its owner may enter; one that is there and ours becomes like that. Return it."""
    shared_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=PRIVATE_DIRECTORY)
    make_private(path)
    return path


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner may use, made where it is missing; return the descriptor. One that is there and ours
    becomes like that."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    make_private(path)
    return descriptor


def make_private(*paths: Path) -> None:
    """Take from everybody else what is ours and there. Links are left alone: what they lead to may be meant for others."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            mode = stat.S_IMODE(found.st_mode)
            if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or not mode & 0o077:
                continue
            try:
                path.chmod(mode & 0o700)
            except OSError as exc:
                # Some file systems have no modes; there is nothing that a process could do about it.
                logger.warning(
                    "others can use it, and that cannot be changed",
                    extra=fields(path=path, mode=f"{mode:04o}", reason=exc.strerror),
                )
            else:
                logger.warning("made private, others could use it", extra=fields(path=path, mode=f"{mode:04o}"))


def make_private_below(directory: Path) -> None:
    """Do so with a directory of ours and everything in it; what others may not enter hides what is below it, so it comes first."""
    make_private(directory)
    for parent, names, files in os.walk(directory):
        make_private(*(Path(parent, name) for name in (*names, *files)))


def write_once(path: Path, content: bytes) -> bool:
    """Write a private file that was not there, whole and durable or not at all; False when somebody else was first."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link never takes the place of what is there, unlike a rename.
            os.link(draft, path)
        except FileExistsError:
            return False
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return True
