"""What is held against each other while a cluster is hurt: the contents of every number, as the stream and its subscribers have it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc

from clients.rpc.following import Lost, Missed, Start
from clients.rpc.replay import ReplayClient
from fastpath.frame import MARKER_GAP, TickFrame


class Contents:
    """What everybody has ever got of one partition: under one number of one epoch there is one thing."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self.known: dict[tuple[str, int], str] = {}

    def add(self, frame: TickFrame, where: str) -> None:
        """Hold a batch against all that came before."""
        for sequence, content in contents(frame):
            before = self.known.setdefault((frame.epoch, sequence), content)
            assert before == content, (
                f"partition {self._partition} {frame.epoch} {sequence} is {content} {where}, and was {before}"
            )

    def newest(self, epoch: str) -> int:
        """Return the highest number that anybody has got of an epoch."""
        return max((sequence for each, sequence in self.known if each == epoch), default=0)


def contents(frame: TickFrame) -> Iterator[tuple[int, str]]:
    """Every tick and marker of a batch by its number. A marker that names lost numbers stands in the place of the first of them."""
    for tick in frame.ticks():
        yield tick[0], repr(tick[1:])
    for marker in frame.markers:
        if not (marker.kind == MARKER_GAP and marker.next_sequence):
            yield marker.sequence, repr((marker.kind, marker.reason))


class Subscriber:
    """Follows one partition from its first record, over every lost connection."""

    def __init__(self, address: str, partition: int, seen: Contents) -> None:
        self._address, self._partition, self._seen = address, partition, seen
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._got: list[TickFrame | str] = []
        self._place = ("", 1, 0)
        self.first_epoch = ""
        self.last = ("", 0)
        self.missed: list[str] = []
        self.error = ""
        self._thread = threading.Thread(target=self._run, name=f"subscriber-{partition}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Hold what has come since the last time against what is known, and find holes that nothing names."""
        with self._lock:
            got, self._got = self._got, []
        for frame in got:
            if isinstance(frame, str):
                self.missed.append(frame)
                self._place = ("", 1, 0)
                continue
            self._seen.add(frame, "at the subscriber")
            epoch, due, named = self._place
            if epoch:
                due, named = (due, named) if frame.epoch == epoch else (1, 0)
                assert frame.first_sequence in (due, named), (
                    f"partition {self._partition} {frame.epoch} {frame.first_sequence} comes where {due} is due"
                )
            gaps = [marker.next_sequence for marker in frame.markers if marker.kind == MARKER_GAP]
            self._place = (frame.epoch, frame.last_sequence + 1, next(iter(gaps), 0))
        assert not self.error, self.error

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        try:
            with ReplayClient(self._address) as client:
                while not self._stopping.is_set():
                    self._follow_or_wait(client)
        except grpc.RpcError as exc:
            self.error = f"partition {self._partition} ended behind {self.last}: {exc.code()} {exc.details()}"

    def _follow_or_wait(self, client: ReplayClient) -> None:
        try:
            self._follow(client)
        except grpc.RpcError as exc:
            # Before its first record a subscriber has nothing to go on from: the server is not up, or knows of no session yet.
            if self.last[0] or exc.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
                raise
            self._stopping.wait(0.1)

    def _follow(self, client: ReplayClient) -> None:
        for found in client.ticks(Start(oldest=True), partition=self._partition):
            if self._stopping.is_set():
                return
            if isinstance(found, Lost):
                continue
            with self._lock:
                if isinstance(found, Missed):
                    self._got.append(found.reason)
                else:
                    frame = TickFrame(found.SerializeToString())
                    self._got.append(frame)
                    self.first_epoch = self.first_epoch or frame.epoch
                    self.last = (frame.epoch, frame.last_sequence)
