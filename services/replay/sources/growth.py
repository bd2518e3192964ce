"""Files that are still being written: only whole lines are read, and a longer file is the same one as long as it begins the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

GROWING: Final = "growing:"
"""How the fingerprint of such files begins."""
PREFIX_BYTES: Final = (256, 4096, 65536)
"""How much of the beginning is compared, as far as a file has it."""
_BLOCK: Final = 64 * 1024


def whole_lines(descriptor: int, size: int) -> int:
    """Return how many of the first `size` bytes of a file are whole lines."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        at = os.pread(descriptor, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def growing_print(files: Sequence[tuple[str, int, int]]) -> str:
    """Return text from which `growth_difference` tells growth from change; each file is (name, descriptor, bytes that are read)."""
    prints = []
    for name, descriptor, size in files:
        digests = [
            hashlib.sha256(os.pread(descriptor, length, 0)).hexdigest()[:16]
            for length in PREFIX_BYTES
            if length <= size
        ]
        prints.append(f"{quote(name, errors='replace')}={size}={'.'.join(digests)}")
    return GROWING + ",".join(prints)


def growth_difference(before: str, now: str) -> str:
    """Say what of the files is not the same but longer; empty when there is no such thing."""
    old, new = (
        [part.split("=") for part in text.partition(" ")[0].removeprefix(GROWING).split(",")] for text in (before, now)
    )
    if [one[0] for one in old] != [one[0] for one in new]:
        return "the input files are not the same ones"
    for (name, size, digests), (_, size_now, digests_now) in zip(old, new, strict=True):
        known = digests.split(".")
        if int(size_now) < int(size) or digests_now.split(".")[: len(known)] != known:
            return f"`{unquote(name)}` changed, and not only grew"
    return ""
