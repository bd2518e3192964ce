"""Cut the bytes of a websocket into frames, so that plain messages need not pass through the library one by one.

The library parses in Python, in steps that may stop at any byte; that costs several times more than everything else that
happens to a message here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

_BINARY: Final = 0x82
_PLAIN: Final = frozenset((0x81, _BINARY))
"""A whole text or binary message."""
_OPENING: Final = frozenset((0x01, 0x02))
_CONTINUING: Final = frozenset((0x00, 0x80))
_UNFINISHED: Final = frozenset((0x00, 0x01, 0x02))
_PINGS: Final = frozenset((0x89, 0x8A))
_CONTROL_SIZE_MAX: Final = 125


class Deliver(Protocol):
    """Takes messages in their order; all of them are text, or all are binary."""

    def __call__(self, payloads: list[bytes], *, binary: bool) -> None: ...


class FrameSplitter:
    """Hands over whole plain messages, and every other frame, whole too, to the library.

    It decides nothing: a frame that is masked, too long, compressed, in fragments or a control frame goes to the library, which
    answers it or fails the connection. Behind a frame that ends the connection, and behind what looks wrong, everything does.
    """

    def __init__(self, *, size_max: int, deliver: Deliver, other: Callable[[bytes], None]) -> None:
        self._size_max = size_max
        self._deliver = deliver
        self._other = other
        self._carry = b""
        self._fragmented = False
        self._given_up = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. What they complete is handed over in order."""
        if self._given_up:
            self._other(chunk)
            return
        rest = self._carry + chunk if self._carry else chunk
        self._carry = b""
        messages: list[bytes] = []
        kind = 0
        position, end = 0, len(rest)
        while end - position >= 2:
            first, length = rest[position], rest[position + 1]
            start = position + 2
            if length == 126:
                if end - position < 4:
                    break
                length = rest[position + 2] << 8 | rest[position + 3]
                start = position + 4
            elif length == 127:
                if end - position < 10:
                    break
                length = int.from_bytes(rest[position + 2 : position + 10], "big")
                start = position + 10
            elif length > 127:
                length = self._size_max + 1
            if length > self._size_max or not self._expects(first, length):
                self._given_up = True
                break
            stop = start + length
            if stop > end:
                break
            if first in _PLAIN and not self._fragmented:
                if first != kind:
                    messages = self._hand_over(messages, kind)
                    kind = first
                messages.append(rest[start:stop])
            else:
                messages = self._hand_over(messages, kind)
                self._other(rest[position:stop])
                if first not in _PINGS:
                    self._fragmented = first in _UNFINISHED
            position = stop
        self._hand_over(messages, kind)
        if self._given_up:
            self._other(rest[position:])
        else:
            self._carry = rest[position:]

    def _expects(self, first: int, length: int) -> bool:
        """Tell whether a frame that begins so may come now; a close frame is the library's to answer, as all behind it is."""
        if first in _PLAIN or first in _OPENING:
            return not self._fragmented
        if first in _PINGS:
            return length <= _CONTROL_SIZE_MAX
        return first in _CONTINUING and self._fragmented

    def give_up(self) -> None:
        """Leave everything from now on to the library."""
        self._given_up = True

    def _hand_over(self, messages: list[bytes], kind: int) -> list[bytes]:
        """Deliver what was found so far; return a list for what follows."""
        if not messages:
            return messages
        self._deliver(messages, binary=kind == _BINARY)
        return []
