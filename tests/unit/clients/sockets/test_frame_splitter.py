"""Cutting websocket bytes into frames, against the library's own parser."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from clients.sockets.frame_splitter import Deliver, FrameSplitter

SIZE_MAX = 400
DATA = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)


class Library:
    """The library's parser behind a finished handshake; keeps messages and other frames."""

    def __init__(self) -> None:
        self.protocol = ClientProtocol(parse_uri("ws://feed"), state=State.OPEN, max_size=SIZE_MAX)
        self.messages: list[bytes] = []
        self.controls: list[tuple[int, bytes]] = []
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self.protocol.receive_data(chunk)
        for event in self.protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode not in DATA:
                self.controls.append((int(event.opcode), bytes(event.data)))
                continue
            self._parts.append(bytes(event.data))
            if event.fin:
                self.messages.append(b"".join(self._parts))
                self._parts = []


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=False)


def into(messages: list[bytes]) -> Deliver:
    """Return what appends messages to a list, of whichever kind."""

    def deliver(found: list[bytes], *, binary: bool) -> None:
        messages.extend(found)

    return deliver


PAYLOADS = st.one_of(
    st.binary(max_size=20), st.sampled_from([b"x" * size for size in (125, 126, 65_535, 65_536, 69_999)])
)
CONTROLS = st.builds(frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
PLAIN = st.builds(frame, st.sampled_from([Opcode.TEXT, Opcode.BINARY]), PAYLOADS)
FRAGMENTED = st.builds(
    lambda parts, control: b"".join(
        frame(Opcode.BINARY if index == 0 else Opcode.CONT, part, fin=index == len(parts) - 1)
        + (control if index == 0 else b"")
        for index, part in enumerate(parts)
    ),
    st.lists(st.binary(max_size=30), min_size=2, max_size=4),
    CONTROLS,
)
ODD = st.one_of(
    st.just(frame(Opcode.CLOSE, b"\x03\xe8")),
    st.just(Frame(Opcode.TEXT, b"masked").serialize(mask=True)),
    st.just(frame(Opcode.TEXT, b"x" * (SIZE_MAX + 1))),
    st.just(b"\xf1\x03abc"),
    st.just(frame(Opcode.CONT, b"alone")),
    st.just(b"\x89\x7e\x00\x80" + b"p" * 128),
    st.just(b"\x09\x01p"),
    st.just(frame(Opcode.TEXT, b"open", fin=False) + frame(Opcode.TEXT, b"new")),
    st.binary(min_size=1, max_size=12),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(PLAIN, CONTROLS, FRAGMENTED), max_size=12),
    st.lists(st.one_of(PLAIN, CONTROLS, ODD), max_size=3),
    st.lists(st.integers(1, 700), min_size=1, max_size=10),
)
def test_what_comes_out_is_what_the_library_alone_finds(good: list[bytes], odd: list[bytes], cuts: list[int]) -> None:
    stream = b"".join([*good, *odd])
    alone, behind = Library(), Library()
    messages: list[bytes] = []

    def other(chunk: bytes) -> None:
        before = len(behind.messages)
        behind.feed(chunk)
        messages.extend(behind.messages[before:])

    splitter = FrameSplitter(size_max=SIZE_MAX, deliver=into(messages), other=other)
    position = 0
    for cut in cuts * (len(stream) // sum(cuts) + 1):
        chunk = stream[position : position + cut]
        position += cut
        if chunk:
            alone.feed(chunk)
            splitter.feed(chunk)

    assert messages == alone.messages
    assert behind.controls == alone.controls
    assert behind.protocol.state == alone.protocol.state
    assert behind.protocol.close_code == alone.protocol.close_code if alone.protocol.close_expected() else True


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_of_any_size_give_the_same_messages(size: int) -> None:
    stream = b"".join(frame(Opcode.TEXT, str(number).encode() * 50) for number in range(40))
    messages: list[bytes] = []
    splitter = FrameSplitter(size_max=SIZE_MAX, deliver=into(messages), other=lambda _frame: None)

    for start in range(0, len(stream), size):
        splitter.feed(stream[start : start + size])

    assert messages == [str(number).encode() * 50 for number in range(40)]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 1 << 20])
def test_messages_of_any_legal_length_come_out_whole(size: int) -> None:
    messages: list[bytes] = []
    passed_on: list[bytes] = []
    splitter = FrameSplitter(size_max=1 << 20, deliver=into(messages), other=passed_on.append)
    stream = frame(Opcode.BINARY, b"x" * size) + frame(Opcode.TEXT, b"next")

    for start in range(0, len(stream), 60_000):
        splitter.feed(stream[start : start + 60_000])

    assert [len(message) for message in messages] == [size, 4]
    assert passed_on == []


def test_messages_around_a_fragmented_one_keep_their_order() -> None:
    library = Library()
    messages: list[bytes] = []

    def other(chunk: bytes) -> None:
        library.feed(chunk)
        messages.extend(library.messages)
        library.messages.clear()

    splitter = FrameSplitter(size_max=SIZE_MAX, deliver=into(messages), other=other)

    splitter.feed(
        frame(Opcode.TEXT, b"1")
        + frame(Opcode.TEXT, b"2", fin=False)
        + frame(Opcode.CONT, b"2")
        + frame(Opcode.TEXT, b"3")
    )

    assert messages == [b"1", b"22", b"3"]


def test_text_and_binary_messages_of_one_read_are_told_apart_and_keep_their_order() -> None:
    calls: list[tuple[bool, list[bytes]]] = []

    def deliver(found: list[bytes], *, binary: bool) -> None:
        calls.append((binary, found))

    splitter = FrameSplitter(size_max=SIZE_MAX, deliver=deliver, other=lambda _frame: None)

    splitter.feed(b"".join(frame(Opcode.BINARY if kind else Opcode.TEXT, bytes([kind])) for kind in (0, 0, 1, 0, 1, 1)))

    assert calls == [(False, [b"\0", b"\0"]), (True, [b"\1"]), (False, [b"\0"]), (True, [b"\1", b"\1"])]
