"""Look at the environment before servers are started with it."""

from __future__ import annotations

import os

from services.cli.terminal import say
from services.runtime.errors import StartRefused
from services.runtime.known_settings import is_strict, unknown_line, unknown_settings


def check_environment() -> None:
    """Warn on stderr of variables that no setting has; raise StartRefused instead with MIDSTREAM_STRICT.

    They are taken out of the environment: they do nothing, and each server that is started would say so again.
    """
    unknown = unknown_settings(os.environ)
    lines = [unknown_line(name, nearest) for name, nearest in unknown.items()]
    if lines and is_strict(os.environ):
        raise StartRefused("\n".join(lines))
    for name, line in zip(unknown, lines, strict=True):
        say(f"midstream: {line}")
        del os.environ[name]
