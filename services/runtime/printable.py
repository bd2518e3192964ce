"""Text of others on a terminal: nothing of it may move the cursor, ring, or turn the reading direction."""

from __future__ import annotations

import re
from typing import Final

# Controls but line end and tab, half characters, and what makes text look like other text: marks of direction and of lines.
_UNSHOWN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return `text` with what a terminal would act upon spelled out, as errors.log spells it; line ends and tabs stay."""
    return _UNSHOWN.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    number = ord(found[0])
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00  # a byte of a file name that is no UTF-8
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
