"""Checks of the machine: Python, kernels, time, files, memory file systems, limits."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.cli.doctor.findings import Finding, Patient, fault, ok, warning
from services.runtime.descriptors import TIGHT, WANTED
from services.runtime.errors import StartRefused
from services.runtime.kernels import FIX, KERNELS, require_kernels

PYTHON_MIN: Final = (3, 11)
PYTHON_TESTED_MAX: Final = (3, 13)

ROOM_MIN: Final = 100 * 2**20
"""Bytes without which the first ticks do not fit."""
ROOM_COMFORTABLE: Final = 2**30

TEMPORARY_MIN: Final = 16 * 2**20
"""Sockets and drafts; spilled rows need more."""

INODES_MIN: Final = 1_000

OPEN_FILES_COMFORTABLE: Final = 4_096

_BUILT_AFTER_NS: Final = 1_735_689_600 * 10**9
"""2025-01-01: a clock before that was never set."""

ZONE: Final = "Europe/Berlin"
"""The power desk's day."""

_STA_UNSYNC: Final = 0x0040


def python(_: Patient) -> Iterator[Finding]:
    """Is this Python one that we run on."""
    version, shown = sys.version_info[:2], platform.python_version()
    if version < PYTHON_MIN:
        yield fault(f"Python {shown} is too old", "install Python 3.11, 3.12 or 3.13 and make the environment anew")
    elif sys.maxsize < 2**32:
        yield fault(f"Python {shown} is a 32-bit build", "install a 64-bit Python")
    elif version > PYTHON_TESTED_MAX:
        yield warning(f"Python {shown} is newer than what is tested", "use Python 3.11, 3.12 or 3.13")
    else:
        yield ok(f"Python {shown}, {platform.system()} {platform.machine()}")


def kernels(_: Patient) -> Iterator[Finding]:
    """Are the extension modules there, and as new as their sources."""
    try:
        require_kernels()
    except StartRefused as exc:
        yield fault(exc.message.partition(":")[0], FIX)
        return
    stale = sorted(name for name in KERNELS if _is_stale(name))
    if stale:
        yield warning(f"older than their sources: fastpath {', '.join(stale)}", "run `make build-ext`")
        return
    yield ok(f"{len(KERNELS)} extension modules are built")


def _is_stale(name: str) -> bool:
    built = Path(str(sys.modules[f"fastpath.{name}"].__file__))
    source = built.parent / f"{name}.pyx"
    return source.exists() and source.stat().st_mtime > built.stat().st_mtime


def zones(_: Patient) -> Iterator[Finding]:
    """Is the data of time zones there."""
    try:
        zoneinfo.ZoneInfo(ZONE)
    except zoneinfo.ZoneInfoNotFoundError:
        yield fault(f"there is no time zone {ZONE}", "install the package `tzdata` (of the system, or with pip)")
        return
    yield ok(f"time zones are known ({ZONE})")


def clock(_: Patient) -> Iterator[Finding]:
    """Is the clock set, and does something keep it."""
    if time.time_ns() < _BUILT_AFTER_NS:
        yield fault(
            f"the clock says {time.strftime('%Y-%m-%d', time.gmtime())}",
            "set it, and have chrony or systemd-timesyncd keep it",
        )
    elif is_synchronised() is False:
        yield warning(
            "nothing keeps this machine's clock right (it says of itself that it is not synchronised)",
            "start chrony or systemd-timesyncd; exchanges refuse requests of a clock that is seconds off",
        )
    else:
        yield ok(f"the clock says {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC")


def is_synchronised() -> bool | None:
    """Ask the kernel; None where it does not say."""
    if sys.platform != "linux":
        return None
    state = ctypes.create_string_buffer(256)
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(state)
    except (OSError, AttributeError):
        return None
    if answer < 0:
        return None
    # struct timex: modes (int, padded), offset, freq, maxerror, esterror (long each), status (int).
    status = ctypes.c_int.from_buffer(state, 5 * ctypes.sizeof(ctypes.c_long)).value
    return not status & _STA_UNSYNC


def open_files(_: Patient) -> Iterator[Finding]:
    """How many files may a server have open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = WANTED if hard == resource.RLIM_INFINITY else hard
    fix = "raise it: `ulimit -Hn 65536`, LimitNOFILE= of systemd, `ulimits` of a container"
    if limit < TIGHT:
        yield fault(f"a process may have {limit} files open, fewer than {TIGHT}", fix, "docs/limits.md")
    elif limit < OPEN_FILES_COMFORTABLE:
        yield warning(
            f"a process may have {limit} files open: room for {limit // 3} subscribers or so", fix, "docs/limits.md"
        )
    else:
        yield ok(f"a process may have {limit:,} files open")


def temporary_files(_: Patient) -> Iterator[Finding]:
    """Is there room for sockets and drafts."""
    folder = Path(tempfile.gettempdir())
    if not os.access(folder, os.W_OK | os.X_OK):
        yield fault(f"{folder} cannot be written to", "mount it writable (a tmpfs will do), or set TMPDIR")
    else:
        yield from _room(
            folder,
            minimum=TEMPORARY_MIN,
            comfortable=ROOM_MIN,
            fix="make room there, or set TMPDIR to a folder with room",
        )
    shared = Path("/dev/shm")
    if shared.is_dir() and not os.access(shared, os.W_OK | os.X_OK):
        yield warning(f"{shared} cannot be written to", "mount a tmpfs there: locks between processes need it")


def out_folder(patient: Patient) -> Iterator[Finding]:
    """Can MIDSTREAM_OUT be written to, and is there room."""
    folder = patient.out
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        yield fault(
            f"{there} is in the way of {folder}: it is no folder", "move it away, or set MIDSTREAM_OUT to another place"
        )
        return
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as exc:
        yield fault(
            f"{there} cannot be written to ({exc.strerror})",
            f"give it to the user that servers run as (`chown {os.getuid()} {there}`), or set MIDSTREAM_OUT to another place",
        )
        return
    yield from _room(
        there, minimum=ROOM_MIN, comfortable=ROOM_COMFORTABLE, fix="make room, or set MIDSTREAM_OUT to a larger disk"
    )


def _room(folder: Path, *, minimum: int, comfortable: int, fix: str) -> Iterator[Finding]:
    free, inodes = shutil.disk_usage(folder).free, os.statvfs(folder)
    if inodes.f_files and inodes.f_favail < INODES_MIN:
        yield fault(f"{folder} has room for {inodes.f_favail} more files only", fix)
    elif free < minimum:
        yield fault(f"{folder} has {free / 2**20:.0f} MiB left", fix)
    elif free < comfortable:
        yield warning(f"{folder} has {free / 2**20:.0f} MiB left", fix)
    else:
        yield ok(f"{folder} has {free / 2**30:.1f} GiB left")
