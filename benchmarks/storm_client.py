"""Place orders on a timetable with as little work as that takes, and print what came of it: a generator that leaves the machine alone.

python -m benchmarks.storm_client storm PORT KEY PER_S SECONDS

gRPC's own client takes a third of a millisecond for a call: three thousand a second are a core of its own, which the server on the same
machine then does not have. Callers on other machines do not take it. This one writes the same frames, made beforehand, over as many
connections, and keeps to what the server says about streams and windows; what has to wait for those waits here until its deadline, as it
does in a library. It repeats nothing.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
import time
from collections import deque
from typing import Any, Final

from benchmarks.order_client import CHANNELS, ORDER_S, QUANTITY, SYMBOL, Answered, found_of
from protos.orders.v1 import orders_pb2 as pb

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS: Final = 4
HEADER_TABLE_SIZE, STREAMS_MAX = 1, 3
REFUSED_STREAM: Final = 7
WINDOW: Final = 65_535
PLENTY: Final = 1 << 30
TURN_S: Final = 0.001
LAST_S: Final = 2.0
"""Answers are read for so long once the timetable is over."""
CODES: Final = {b"1": "CANCELLED", b"4": "DEADLINE_EXCEEDED", b"8": "refused", b"14": "UNAVAILABLE"}
STATUS: Final = b"grpc-status"


class Storm:
    """Orders, numbered and due, over several connections."""

    def __init__(self, port: int, key: str) -> None:
        self.answers: list[Answered] = []
        self._began = time.perf_counter()
        self._run = f"storm-{os.getpid()}-{time.time_ns()}"
        self._selector = selectors.DefaultSelector()
        self._connections = [Connection(self, port, key) for _ in range(CHANNELS)]
        for connection in self._connections:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def blow(self, per_s: float, seconds: float) -> dict[str, Any]:
        """Send on the timetable; waits count from when an order was due."""
        number = 0
        while (now := self.now()) < seconds + LAST_S:
            while number < per_s * seconds and number / per_s <= now:
                self._connections[number % CHANNELS].waiting.append((number, number / per_s))
                number += 1
            for connection in self._connections:
                connection.send()
            for each, _ in self._selector.select(TURN_S):
                each.data.receive()
        for connection in self._connections:
            connection.give_up()
        return found_of(self.answers, seconds)

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def message(self, number: int) -> bytes:
        """Return an order as a gRPC message."""
        request = pb.PlaceOrderRequest(
            idempotency_key=f"{self._run}-{number}",
            exchange="binance",
            symbol=SYMBOL,
            side=pb.SIDE_SELL if number % 2 else pb.SIDE_BUY,
            type=pb.ORDER_TYPE_MARKET,
            quantity=QUANTITY,
        ).SerializeToString()
        return struct.pack("!BI", 0, len(request)) + request


class Connection:
    """As much of HTTP/2 as calls of one request and one response need."""

    def __init__(self, storm: Storm, port: int, key: str) -> None:
        self.waiting: deque[tuple[int, float]] = deque()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._storm = storm
        self._streams_max = 100
        self._window = WINDOW
        self._stream = 1
        self._open: dict[int, tuple[float, float, bytearray]] = {}
        self._received = bytearray()
        # Without a table of its own the server writes every field of an answer out.
        settings = struct.pack("!HIHI", HEADER_TABLE_SIZE, 0, 4, PLENTY)
        self._outgoing = bytearray(PREFACE + _frame(SETTINGS, 0, 0, settings))
        self._outgoing += _frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", PLENTY))
        fields = (
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/midstream.orders.v1.OrderService/PlaceOrder"),
            (b":authority", b"127.0.0.1"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
            (b"grpc-timeout", f"{ORDER_S:.0f}S".encode()), (b"authorization", b"Bearer " + key.encode()),
        )  # fmt: skip
        # Literals without indexing; each name and value is shorter than 127 bytes.
        self._headers = b"".join(
            b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in fields
        )

    def send(self) -> None:
        """Begin what is due and may begin."""
        now = self._storm.now()
        while self.waiting:
            number, due = self.waiting[0]
            if now - due > ORDER_S:
                self.waiting.popleft()
                self._storm.answers.append(
                    Answered("DEADLINE_EXCEEDED", "never sent: no stream was free", due, now, now)
                )
                continue
            if len(self._open) >= self._streams_max or self._window < 1_000:
                break
            self.waiting.popleft()
            message = self._storm.message(number)
            self._outgoing += _frame(HEADERS, END_HEADERS, self._stream, self._headers)
            self._outgoing += _frame(DATA, END_STREAM, self._stream, message)
            self._window -= len(message)
            self._open[self._stream] = due, now, bytearray()
            self._stream += 2
        if self._outgoing:
            try:
                del self._outgoing[: self.socket.send(self._outgoing)]
            except BlockingIOError:
                return

    def receive(self) -> None:
        """Take in what has arrived."""
        try:
            part = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        if not part:
            raise ConnectionError("the server closed a connection of the storm")
        self._received += part
        at = 0
        while len(self._received) - at >= 9:
            length = int.from_bytes(self._received[at : at + 3], "big")
            if len(self._received) - at < 9 + length:
                break
            kind, flags, stream = struct.unpack_from("!BBI", self._received, at + 3)
            self._take(kind, flags, stream, bytes(self._received[at + 9 : at + 9 + length]))
            at += 9 + length
        del self._received[:at]

    def give_up(self) -> None:
        """Count what has no answer."""
        now = self._storm.now()
        for due, sent, _ in self._open.values():
            self._storm.answers.append(Answered("open at the end", "", due, sent, now))
        for _, due in self.waiting:
            self._storm.answers.append(Answered("never sent", "no stream was free", due, now, now))
        self.socket.close()

    def _take(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(content), 6):
                name, value = struct.unpack_from("!HI", content, at)
                if name == STREAMS_MAX:
                    self._streams_max = value
            self._outgoing += _frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._outgoing += _frame(PING, ACK, 0, content)
        elif kind == WINDOW_UPDATE and not stream:
            self._window += int.from_bytes(content, "big")
        elif kind == GOAWAY:
            raise ConnectionError(f"the server ends a connection of the storm: {content[8:]!r}")
        elif stream in self._open:
            if kind == DATA:
                self._open[stream][2].extend(content)
            elif kind == RST_STREAM:
                code = int.from_bytes(content, "big")
                self._end(stream, "UNAVAILABLE" if code == REFUSED_STREAM else f"RST_STREAM {code}", "")
            elif kind == HEADERS and flags & END_STREAM:
                self._answered(stream, content)

    def _answered(self, stream: int, trailers: bytes) -> None:
        at = trailers.index(STATUS) + len(STATUS)
        status = trailers[at + 1 : at + 1 + trailers[at]]
        if status != b"0":
            at = trailers.find(b"grpc-message") + len("grpc-message")
            told = trailers[at + 1 : at + 1 + (trailers[at] & 127)].decode("latin-1")
            self._end(stream, CODES.get(status, f"status {status.decode()}"), told)
            return
        order = pb.PlaceOrderResponse.FromString(bytes(self._open[stream][2][5:])).order
        result = "accepted" if order.state == pb.ORDER_STATE_FILLED else pb.OrderState.Name(order.state)
        self._end(stream, result, order.reason)

    def _end(self, stream: int, result: str, reason: str) -> None:
        due, sent, _ = self._open.pop(stream)
        self._storm.answers.append(Answered(result, reason, due, sent, self._storm.now()))


def _frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return struct.pack("!I", len(content))[1:] + struct.pack("!BBI", kind, flags, stream) + content


def _main() -> None:
    _, port, key, per_s, seconds = sys.argv[1:]
    print(json.dumps(Storm(int(port), key).blow(float(per_s), float(seconds))))


if __name__ == "__main__":
    _main()
