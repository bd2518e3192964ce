"""The one connection over the websockets library: messages leave it as the socket delivers them.

The library's own queue would give messages the time at which they are taken out of it, and would stop reading from the socket when
it is full. Its parser costs several times more than everything else that happens to a message here, so whole messages do not pass it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from clients.sockets.frame_splitter import FrameSplitter
from clients.sockets.link import LinkHandler

_DATA: Final = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
_ABNORMAL: Final = 1006
_HEADERS_END: Final = b"\r\n\r\n"
_SWITCHING_PROTOCOLS: Final = 101


async def open_connection(
    url: str,
    handler: LinkHandler,
    *,
    message_bytes_max: int,
    options: Mapping[str, Any],
) -> StampedConnection:
    """Open one connection to the server of `url` and to no other: no redirect is followed, no proxy of the environment asked.

    Nothing is compressed. `options` go to the library. Raises what the library raises.
    """

    def create(*args: Any, **kwargs: Any) -> StampedConnection:
        return StampedConnection(*args, handler=handler, message_bytes_max=message_bytes_max, **kwargs)

    connection = await _Connect(
        url,
        max_size=message_bytes_max,
        compression=None,
        proxy=None,
        # The library only calls it; its annotation asks for a class.
        create_connection=cast("type[ClientConnection]", create),
        **options,
    )
    assert isinstance(connection, StampedConnection)
    return connection


class _Connect(connect):
    """Follows no redirect: keys must not go to whoever the other side names, nor we to where only this machine gets."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class StampedConnection(ClientConnection):
    """Tells its handler of every read of the socket before it hands over the messages that the read completed.

    Text is not decoded: whoever takes a message decides what is no UTF-8.
    """

    def __init__(self, *args: Any, handler: LinkHandler, message_bytes_max: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handler = handler
        self._splitter = FrameSplitter(
            size_max=message_bytes_max, deliver=handler.on_messages, other=super().data_received
        )
        self._handshake: bytes | None = b""
        """What came of it; None once it is over."""
        self._parts = bytearray()
        self._binary = False

    @property
    def closed_with(self) -> int | None:
        """The code that the connection was closed with; None where it broke without one."""
        return None if self.close_code in (None, _ABNORMAL) else self.close_code

    @property
    def refused_with(self) -> tuple[int, str] | None:
        """Code and reason with which we ended the connection, unasked: a frame that breaks the protocol or our limit, no pong."""
        sent = self.protocol.close_sent
        return None if sent is None or self.protocol.close_rcvd_then_sent else (sent.code, sent.reason)

    def data_received(self, data: bytes) -> None:
        if self._handshake is not None:
            data = self._shake_hands(data)
            if not data:
                return
        self._handler.on_traffic()
        self._splitter.feed(data)
        if self.protocol.state is State.CLOSING and self.close_timeout is not None:
            # Nobody is in `recv` or `close` to enforce the timeout of a closing handshake.
            self.loop.call_later(self.close_timeout, self.transport.abort)

    def process_event(self, event: Any) -> None:
        if self.response is None or not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            return
        # Only a message in fragments comes this way.
        if event.opcode is not Opcode.CONT:
            self._binary = event.opcode is Opcode.BINARY
        self._parts += event.data
        if event.fin:
            payload = bytes(self._parts)
            self._parts.clear()
            self._handler.on_messages([payload], binary=self._binary)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.response is not None:
            self._handler.on_closed(self._why(exc), self.closed_with)

    def _shake_hands(self, data: bytes) -> bytes:
        """Give the library the handshake up to its last byte, so that what follows begins with a frame; return what follows."""
        assert self._handshake is not None
        seen = len(self._handshake)
        self._handshake += data
        end = self._handshake.find(_HEADERS_END, max(0, seen - len(_HEADERS_END)))
        if end < 0:
            super().data_received(data)
            return b""
        rest = self._handshake[end + len(_HEADERS_END) :]
        self._handshake = None
        super().data_received(data[: len(data) - len(rest)])
        if self.response is None or self.response.status_code != _SWITCHING_PROTOCOLS:
            # A refusal may have a body: the library reads it.
            self._splitter.give_up()
        return rest

    def _why(self, exc: Exception | None) -> str:
        if self.refused_with is not None:
            code, reason = self.refused_with
            return f"refused with code {code} ({reason})"
        if self.closed_with is None:
            return "the connection broke" + (f": {type(exc).__name__}" if exc is not None else "")
        text = "".join(character for character in self.close_reason or "" if character.isprintable())
        return f"closed with code {self.close_code}" + (f" ({text})" if text else "")
