"""Secrets in files that nobody else can read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from clients.secrets.errors import SecretRefused

SIZE_MAX: Final = 4096


def read_secret_file(path: Path) -> str:
    """Return the file's text without the line end.

    Refuses what is no regular file (a link, a FIFO, a device), belongs to someone else, lets group or world do anything, or is larger
    than 4 KiB. What is checked is what is read: there is one open, and it follows no link.
    """
    try:
        # A FIFO without a writer would wait for ever otherwise.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise SecretRefused(f"secret file {str(path)!r} is a symbolic link; name the file itself") from None
        raise SecretRefused(f"secret file {str(path)!r} cannot be read: {exc.strerror}") from None
    try:
        _check(path, os.fstat(descriptor))
        content = b""
        while len(content) <= SIZE_MAX and (block := os.read(descriptor, SIZE_MAX + 1 - len(content))):
            content += block
    except OSError as exc:
        raise SecretRefused(f"secret file {str(path)!r} cannot be read: {exc.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > SIZE_MAX:
        raise SecretRefused(f"secret file {str(path)!r} is larger than {SIZE_MAX} bytes: it is not a key")
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        raise SecretRefused(f"secret file {str(path)!r} holds something else than ASCII: it is not a key") from None
    return text.removesuffix("\n").removesuffix("\r")


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretRefused(f"secret file {str(path)!r} is not a regular file")
    if status.st_uid != os.geteuid():
        raise SecretRefused(
            f"secret file {str(path)!r} belongs to user id {status.st_uid}, not to {os.geteuid()} who runs this; change its owner"
        )
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise SecretRefused(f"secret file {str(path)!r} has mode {mode:04o}, so others can use it; run chmod 600 on it")
