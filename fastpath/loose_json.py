"""What senders write that is no JSON, and what of a frame can be read all the same."""

from __future__ import annotations

import re
from typing import Final

_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|-?Infinity|NaN|[\[\]{},]', re.DOTALL)


def without_constants(raw: bytes) -> bytes:
    """Write `null` for NaN, Infinity and -Infinity outside of strings: Python's `json.dumps` writes them for values that are missing."""
    return _TOKENS.sub(lambda found: b"null" if found[0][-1:] in (b"N", b"y") else found[0], raw)


def array_elements(raw: bytes) -> tuple[list[bytes], bool]:
    """Return the texts of an array's elements, valid or not, and whether the array ends where the text does; ([], False): it is none."""
    text = raw.strip(b" \t\r\n")
    elements: list[bytes] = []
    if not text.startswith(b"["):
        return elements, False
    depth = begin = 0
    for token in _TOKENS.finditer(text):
        mark = token[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth == 1:
                begin = token.end()
        elif mark in (b"]", b"}"):
            depth -= 1
        if (mark == b"," and depth == 1) or depth == 0:
            elements.append(text[begin : token.start()])
            begin = token.end()
        if depth == 0:
            return elements, begin == len(text)
    elements.append(text[begin:])
    return elements, False
