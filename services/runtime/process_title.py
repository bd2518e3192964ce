"""What `ps` and /proc show of a process: the words and the environment of a program that was forked instead of executed."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PR_SET_NAME: Final = 15
_PR_SET_MM: Final = 35
_PR_SET_MM_MAP: Final = 14
_PR_SET_MM_MAP_SIZE: Final = 15

_MAP: Final = struct.Struct("12QII")
"""`struct prctl_mm_map`: code, data, heap, stack, words, environment; no auxiliary vector, no other executable."""
_HEAP_END: Final = 5 * 8
"""Where the end of the heap stands in it."""
_NO_FILE: Final = 0xFFFF_FFFF
_FIRST_FIELD: Final = 3
"""Number, in proc(5), of the first field of `stat` behind the name of the program."""
_CODE: Final = (26, 27)
_DATA: Final = (45, 46)
_HEAP: Final = (47,)
_STACK: Final = (28,)

_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None
if _libc is not None:
    _libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    _libc.sbrk.argtypes = [ctypes.c_ssize_t]
    _libc.sbrk.restype = ctypes.c_void_p

_shown: mmap.mmap | None = None
"""What the kernel reads; it has to stay where it is."""


def can_be_shown() -> bool:
    """Tell whether this kernel lets a process say where its words are, which needs no privilege but CONFIG_CHECKPOINT_RESTORE."""
    if _libc is None:
        return False
    size = ctypes.c_uint(0)
    supported = _libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP_SIZE, ctypes.addressof(size), 0, 0) == 0
    return supported and size.value == _MAP.size


def show_as(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Be shown as if `words` had been executed with `environment`; tell whether the kernel does so."""
    global _shown
    if _libc is None:
        return False
    arguments = b"".join(os.fsencode(word) + b"\0" for word in words)
    variables = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items())
    # One byte apart: of what lies behind the words without a gap, the kernel takes it for more of them.
    page = mmap.mmap(-1, len(arguments) + 1 + len(variables), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.write(arguments + b"\0" + variables)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ends = (begin, begin + len(arguments), begin + len(arguments) + 1, begin + len(page))
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    code, data, heap, stack = (
        [int(fields[number - _FIRST_FIELD]) for number in numbers] for numbers in (_CODE, _DATA, _HEAP, _STACK)
    )
    layout = ctypes.create_string_buffer(_MAP.size)
    _MAP.pack_into(layout, 0, *code, *data, *heap, 0, *stack, *ends, 0, 0, _NO_FILE)
    address = ctypes.addressof(layout)
    # Nothing between these lines may ask the C library for memory: the heap's end is told to the kernel as it was just now.
    struct.pack_into("Q", layout, _HEAP_END, _libc.sbrk(0))
    if _libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, address, _MAP.size, 0) != 0:
        return False
    _shown = page
    name = ctypes.create_string_buffer(os.fsencode(Path(words[0]).name))
    _libc.prctl(_PR_SET_NAME, ctypes.addressof(name), 0, 0, 0)
    return True
