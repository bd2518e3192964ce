"""Which file systems SQLite can be on: its write-ahead log is memory that processes share, and a network does not share memory."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["NETWORK", "StatFs", "file_system_of", "network_file_system"]

StatFs = Callable[[Path], int | None]
"""Returns the number (`f_type`) of the file system that a path is on; None where it cannot be told."""

FUSE: Final = 0x65735546
NETWORK: Final[Mapping[int, str]] = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x564C: "NCP",
    0x01021997: "9P",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x20030528: "OrangeFS",
    0xAAD7AAEA: "PanFS",
    FUSE: "FUSE",
}
"""By the numbers of statfs(2). Amazon EFS and FSx for OpenZFS are NFS, FSx for Windows is CIFS; s3fs, sshfs and Gluster are FUSE."""

_STATFS_BYTES: Final = 512
"""Room for the system's structure, which is 120 bytes on 64-bit Linux; the number is its first word."""

_SHARED_DISK: Final = "virtiofs"
"""A FUSE of one virtual machine with its own host, which does share memory."""


def file_system_of(path: Path) -> int | None:
    """Ask the system; None beyond Linux, and for a FUSE that is no network."""
    if sys.platform != "linux":
        return None
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    library = ctypes.CDLL(None, use_errno=True)
    if library.statfs(os.fsencode(path), answer) != 0:
        return None
    number = ctypes.cast(answer, ctypes.POINTER(ctypes.c_long))[0] & 0xFFFFFFFF
    return None if number == FUSE and _mount_type(path) == _SHARED_DISK else number


def network_file_system(path: Path, statfs: StatFs | None = None) -> str:
    """Return the name of the network file system that a file is on, or would be made on; empty for a disk.

    Links are followed, as SQLite keeps its write-ahead log beside the file itself.
    """
    place = Path(os.path.realpath(path))
    while not place.exists() and place != place.parent:
        place = place.parent
    number = (statfs or file_system_of)(place)
    return "" if number is None else NETWORK.get(number & 0xFFFFFFFF, "")


def _mount_type(path: Path) -> str:
    """Return the type of the mount that has a path, as /proc/self/mountinfo names it: of the device, the last one mounted."""
    try:
        device = os.stat(path).st_dev
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    types = [line.partition(" - ")[2].split(" ", 1)[0] for line in lines if line.split(" ", 3)[2] == wanted]
    return types[-1] if types else ""
