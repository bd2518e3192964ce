"""Look at the environment before servers are started with it."""

from __future__ import annotations

import os

from services.cli.terminal import say
from services.runtime.errors import StartRefused
from services.runtime.known_settings import is_strict, unknown_line, unknown_settings
from services.runtime.parameters import take_parameters


def take_stored_settings() -> None:
    """Read sensitive settings from Parameter Store where MIDSTREAM_PARAMETERS names a path: once, for every server that is started.

    Raises StartRefused, also for parameters that no setting has with MIDSTREAM_STRICT; they are warned about otherwise.
    """
    stored = take_parameters(os.environ)
    if stored is None:
        return
    if stored.odd and is_strict(os.environ):
        raise StartRefused("\n".join(stored.odd))
    for line in stored.odd:
        say(f"midstream: {line}")
    say(
        f"midstream: from Parameter Store, {stored.path}: {', '.join(stored.names) or 'nothing that is not set already'}"
    )


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
