"""What was found in a file, kept for the next time; and one process at a time looks for it, so that the others find it here.

The cache only saves time: whatever is wrong with it, the file is scanned again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from services.replay.sources.inputs import InputFile
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import Damage, FileTickers
from services.runtime.json_text import read_json

CACHE_VERSION: Final = 5
LOOK_S: Final = 0.02
"""Between two looks whether another process has scanned a file."""
WAIT_S: Final = 5.0
WAIT_BYTES_PER_S: Final = 50 << 20
"""How long to wait for it: what is slower than this hangs, or is no faster than scanning once more."""


@dataclass(frozen=True)
class Scanned:
    """What is known of one source before it is read."""

    latency_ns_min: int | None
    """None: not looked for."""
    negative_rows: int | None
    unsorted_line: int | None = None
    """First row that is sorted by neither time; 0: none. None: not looked for."""
    damage: Damage | None = None
    """Where rows stop being believable."""
    tickers: FileTickers | None = None
    """None: not looked for."""


def read_cache(opened: InputFile, options: HistoricalOptions, cache_dir: Path | None) -> Scanned | None:
    """Return what is kept of this file as it is now; None when that is nothing."""
    if cache_dir is None:
        return None
    try:
        stored = read_json(_cache_file(opened, cache_dir).read_bytes())
        if stored["key"] != _cache_key(opened, options):
            return None
        return _scanned(stored["scanned"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_cache(opened: InputFile, options: HistoricalOptions, cache_dir: Path | None, scanned: Scanned) -> None:
    """Keep what was found, unless the file changed meanwhile."""
    if cache_dir is None or not opened.is_unchanged:
        return
    path = _cache_file(opened, cache_dir)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps({"key": _cache_key(opened, options), "scanned": asdict(scanned)}))
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def keep_usable(opened: InputFile, options: HistoricalOptions, cache_dir: Path | None) -> None:
    """Add that all rows of the file can be used to what is kept of it, if anything is."""
    kept = read_cache(opened, options, cache_dir)
    if kept is not None and kept.tickers is not None and kept.tickers.names and not kept.tickers.are_usable:
        write_cache(opened, options, cache_dir, replace(kept, tickers=replace(kept.tickers, are_usable=True)))


def forget_scan(opened: InputFile, cache_dir: Path | None) -> None:
    """Have the next replay of this file scan it again: what was found is not true any more."""
    if cache_dir is not None:
        with contextlib.suppress(OSError):
            _cache_file(opened, cache_dir).unlink()


@contextlib.contextmanager
def one_at_a_time(
    opened: InputFile,
    cache_dir: Path | None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Keep other processes that do the same out, so that they find what this one keeps.

    It only saves work: whoever waited as long as a scan may take goes on without, and where no lock can be had nobody waits. The
    kernel takes the lock of a process that ends.
    """
    # Of a file that is being written nothing is kept, so waiting would bring nothing.
    if cache_dir is None or not opened.is_unchanged:
        yield
        return
    path = _cache_file(opened, cache_dir).with_suffix(".lock")
    until_s = monotonic_s() + WAIT_S + opened.size / WAIT_BYTES_PER_S
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        while (descriptor := _try_lock(path)) is None and monotonic_s() < until_s:
            sleep(LOOK_S)
    except OSError:
        descriptor = None
    try:
        yield
    finally:
        if descriptor is not None:
            # Whoever has opened it by now locks a file without a name, and finds the scan all the same.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _cache_file(opened: InputFile, cache_dir: Path) -> Path:
    name = hashlib.sha256(os.path.abspath(opened.name).encode(errors="surrogateescape")).hexdigest()[:32]
    return cache_dir / f"latency-{name}.json"


def _cache_key(opened: InputFile, options: HistoricalOptions) -> list[object]:
    head = [opened.size, opened.mtime_ns, *opened.identity, opened.head_digest]
    how = [options.fraction_unit_us, options.unsorted]
    return [CACHE_VERSION, os.path.abspath(opened.name), *head, *how]


def _scanned(stored: dict[str, Any]) -> Scanned:
    damage, tickers = stored["damage"], stored["tickers"]
    numbers = [stored[name] for name in ("latency_ns_min", "negative_rows", "unsorted_line")]
    if any(number is not None and not isinstance(number, int) for number in numbers):
        raise TypeError("no numbers")
    lowest, negative_rows, unsorted_line = numbers
    found = None if damage is None else Damage(str(damage["reason"]), int(damage["offset"]))
    return Scanned(lowest, negative_rows, unsorted_line, found, None if tickers is None else _tickers(tickers))


def _tickers(stored: dict[str, Any]) -> FileTickers:
    names, rows, are_usable = stored["names"], stored["rows"], stored["are_usable"]
    if not isinstance(rows, int) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("no tickers")
    return FileTickers(tuple(names), rows, are_usable is True)
