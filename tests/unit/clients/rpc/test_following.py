"""A stream that is followed: what it does when the connection goes, when it is too slow, and when the session begins anew."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest

from clients.rpc import Line
from clients.rpc.following import BACKOFF, LAST_SEQUENCE_TRAILER, Follower, Lost, Missed, Start
from protos.common.v1.market_pb2 import Marker, MidBatch, PartitionPosition, TickBatch

pytestmark = pytest.mark.quick

SEED = 20251


class Refusal(grpc.RpcError):
    """A call that ended with a status."""

    def __init__(self, code: grpc.StatusCode, details: str, **trailers: str) -> None:
        super().__init__(details)
        self._code, self._details = code, details
        self._trailers = tuple(trailers.items())

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return tuple(Metadatum(name.replace("_", "-"), value) for name, value in self._trailers)


class Metadatum(tuple[str, str]):
    """As grpc gives them: a pair with names."""

    def __new__(cls, key: str, value: str) -> Metadatum:
        return super().__new__(cls, (key, value))

    @property
    def key(self) -> str:
        return self[0]

    @property
    def value(self) -> str:
        return self[1]


class Call:
    """One call, which gives what the script says."""

    def __init__(self, script: Sequence[TickBatch | MidBatch | Refusal], *, reached: bool) -> None:
        self._script = script
        self._reached = reached
        self.cancelled = False

    def __iter__(self) -> Iterator[TickBatch | MidBatch]:
        for each in self._script:
            if isinstance(each, Refusal):
                raise each
            yield each

    def initial_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return self._reached

    def cancel(self) -> None:
        self.cancelled = True


class Server:
    """Takes one call after the other and notes where each wants to begin."""

    def __init__(self, *calls: Call) -> None:
        self._calls = list(calls)
        self.starts: list[Start] = []
        self.slept: list[float] = []

    @contextlib.contextmanager
    def channel(self) -> Iterator[None]:
        yield None

    def open(self, _: object, start: Start) -> Call:
        self.starts.append(start)
        return self._calls[len(self.starts) - 1]

    def follow(self, start: Start) -> Iterator[TickBatch | Lost | Missed]:
        follower = Follower(
            cast("Line", self),
            cast("Any", self.open),
            lambda batch: cast("TickBatch", batch),
            start,
            sleep=self.slept.append,
            randomness=random.Random(SEED),
        )
        return iter(follower)


def batch(first: int, last: int, epoch: str = "e") -> TickBatch:
    return TickBatch(epoch=epoch, first_sequence=first, last_sequence=last)


AWAY = Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_a_lost_connection_goes_on_behind_the_last_record() -> None:
    server = Server(Call([batch(1, 3), AWAY], reached=True), Call([batch(4, 4)], reached=True))

    found = server.follow(Start())
    heard = [next(found) for _ in range(3)]

    assert [type(each).__name__ for each in heard] == ["TickBatch", "Lost", "TickBatch"]
    assert server.starts == [Start(), Start(after=3, epoch="e")]
    assert isinstance(heard[1], Lost)
    assert "Socket closed (UNAVAILABLE)" in heard[1].reason
    assert server.slept == [heard[1].again_in_s]


def test_after_a_gap_marker_it_goes_on_behind_the_numbers_that_are_lost() -> None:
    gap = TickBatch(epoch="e", first_sequence=4, last_sequence=4, markers=[Marker(sequence=4, next_sequence=9)])
    server = Server(Call([batch(1, 3), gap, AWAY], reached=True), Call([batch(9, 9)], reached=True))

    found = server.follow(Start())
    for _ in range(4):
        next(found)

    assert server.starts == [Start(), Start(after=8, epoch="e")]


def test_waits_grow_up_to_a_limit_and_begin_again_after_a_batch() -> None:
    silent = [Call([AWAY], reached=False) for _ in range(12)]
    server = Server(
        Call([batch(1, 1), AWAY], reached=True),
        *silent,
        Call([batch(2, 2), AWAY], reached=True),
        Call([], reached=True),
    )

    found = server.follow(Start())
    losses = [each for each in (next(found) for _ in range(16)) if isinstance(each, Lost)]

    assert max(each.again_in_s for each in losses[-6:-2]) > BACKOFF.base_s
    assert max(each.again_in_s for each in losses) <= BACKOFF.cap_s
    assert losses[-1].again_in_s <= BACKOFF.base_s


def woven(last: int, *positions: tuple[str, int], epoch: str = "e") -> TickBatch:
    told = [PartitionPosition(partition=n, epoch=of, sequence=at) for n, (of, at) in enumerate(positions)]
    return TickBatch(epoch=epoch, first_sequence=last, last_sequence=last, positions=told)


def test_a_stream_over_all_partitions_goes_on_behind_the_positions_of_its_last_batch() -> None:
    last = woven(5, ("a", 2), ("b", 3))
    # Of what a policy gathered, the last batch alone says where it stands.
    server = Server(
        Call([woven(4, ("a", 2), ("b", 2)), last, batch(6, 6), AWAY], reached=True), Call([batch(6, 6)], reached=True)
    )

    found = server.follow(Start(oldest=True))
    heard = [next(found) for _ in range(5)]

    assert [type(each).__name__ for each in heard] == ["TickBatch", "TickBatch", "TickBatch", "Lost", "TickBatch"]
    assert server.starts == [Start(oldest=True), Start(positions=tuple(last.positions))]


def test_who_read_several_partitions_too_slowly_goes_on_behind_their_positions() -> None:
    slow = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "fell behind", midstream_last_sequence="77")
    first = woven(5, ("a", 2), ("b", 3))
    server = Server(Call([first, slow], reached=True), Call([first], reached=True))

    found = server.follow(Start())
    _ = [next(found) for _ in range(3)]

    assert server.starts[1] == Start(positions=tuple(first.positions))


@pytest.mark.parametrize(
    ("second", "is_new"),
    [((("a", 2), ("b", 1)), False), ((("c", 1), ("", 0)), True)],
    ids=["a partition has its first record", "a partition is numbered again"],
)
def test_a_numbering_starts_over_where_that_of_a_partition_does(
    second: tuple[tuple[str, int], ...], is_new: bool
) -> None:
    server = Server(Call([woven(2, ("a", 2), ("", 0)), woven(3, *second, epoch="f")], reached=True))

    found = server.follow(Start())
    heard = [next(found) for _ in range(2)]

    assert isinstance(heard[1], Missed) is is_new


def mids(partition: int, first: int, last: int, epoch: str) -> MidBatch:
    return MidBatch(epoch=epoch, first_sequence=first, last_sequence=last, partition=partition)


@pytest.mark.parametrize(
    "start", [Start(), Start(oldest=True), Start(latest=True)], ids=["from now", "oldest", "latest"]
)
def test_mids_of_several_partitions_go_on_behind_the_last_of_each(start: Start) -> None:
    # Each has a numbering of its own, and none of them begins anew when it is the turn of another.
    first = [mids(0, 1, 3, "a"), mids(1, 1, 9, "b"), mids(0, 4, 4, "a")]
    server = Server(
        Call([*first, AWAY], reached=True), Call([mids(1, 10, 10, "b"), AWAY], reached=True), Call([], reached=True)
    )

    found = server.follow(start)
    heard = [type(next(found)).__name__ for _ in range(7)]

    assert heard == ["MidBatch", "MidBatch", "MidBatch", "Lost", "MidBatch", "Lost", "Lost"]
    behind = [{each.partition: (each.epoch, each.sequence) for each in at.positions} for at in server.starts]
    assert behind == [{}, {0: ("a", 4), 1: ("b", 9)}, {0: ("a", 4), 1: ("b", 10)}]
    # A partition that nothing came of begins where it was told to.
    assert [replace(at, positions=()) for at in server.starts] == [start] * 3


def test_mids_of_one_of_several_partitions_go_on_behind_its_position() -> None:
    server = Server(Call([mids(1, 6, 9, "b"), AWAY], reached=True), Call([mids(1, 1, 2, "c")], reached=True))

    found = server.follow(Start(after=5, epoch="b"))
    heard = [next(found) for _ in range(3)]

    position = PartitionPosition(partition=1, epoch="b", sequence=9)
    assert server.starts[1] == Start(positions=(position,))
    assert heard[2] == Missed("the session began anew: its numbering starts over", after=9)


def test_mids_of_several_partitions_that_are_gone_begin_at_the_oldest_once() -> None:
    gone = Refusal(grpc.StatusCode.OUT_OF_RANGE, "mids after 4 are no longer retained")
    server = Server(
        Call([mids(0, 1, 4, "a"), AWAY], reached=True), Call([gone], reached=False), Call([gone], reached=False)
    )

    found = server.follow(Start(oldest=True))
    heard = [next(found) for _ in range(3)]

    assert isinstance(heard[2], Missed)
    assert server.starts[1].positions
    with pytest.raises(Refusal):
        next(found)
    assert server.starts[2] == Start(oldest=True)


def test_a_server_that_was_never_reached_is_not_waited_for() -> None:
    with pytest.raises(Refusal):
        next(Server(Call([AWAY], reached=False)).follow(Start()))


def test_a_stream_that_was_established_is_waited_for_also_without_a_batch() -> None:
    server = Server(Call([AWAY], reached=True), Call([batch(7, 7)], reached=True))

    found = server.follow(Start(after=6, epoch="e"))

    assert isinstance(next(found), Lost)
    assert next(found) == batch(7, 7)
    assert server.starts[1] == Start(after=6, epoch="e")


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED]
)
def test_what_waiting_does_not_mend_is_raised(code: grpc.StatusCode) -> None:
    found = Server(Call([batch(1, 1), Refusal(code, "no")], reached=True)).follow(Start())

    next(found)
    with pytest.raises(Refusal):
        next(found)


def test_who_is_too_slow_is_told_and_goes_on_behind_what_was_sent() -> None:
    slow = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "fell behind", midstream_last_sequence="5")
    gone = Refusal(grpc.StatusCode.OUT_OF_RANGE, "sequence 6 is no longer retained; the oldest retained is 90")
    server = Server(
        Call([batch(1, 5), slow], reached=True), Call([gone], reached=False), Call([batch(90, 91)], reached=True)
    )

    found = server.follow(Start(oldest=True))
    heard = [next(found) for _ in range(4)]

    assert LAST_SEQUENCE_TRAILER == "midstream-last-sequence"
    assert isinstance(heard[1], Lost)
    assert "too slowly" in heard[1].reason
    assert heard[2] == Missed("sequence 6 is no longer retained; the oldest retained is 90", after=5)
    assert heard[3] == batch(90, 91)
    assert server.starts[1:] == [Start(after=5, epoch="e"), Start(oldest=True)]


def test_a_place_that_the_caller_named_and_that_is_not_there_is_refused() -> None:
    gone = Refusal(grpc.StatusCode.OUT_OF_RANGE, "beyond")

    with pytest.raises(Refusal):
        next(Server(Call([gone], reached=False)).follow(Start(after=99)))


def test_another_numbering_in_the_midst_of_a_stream_is_told() -> None:
    found = Server(Call([batch(1, 5), batch(1, 2, "new")], reached=True)).follow(Start())

    heard = [next(found) for _ in range(3)]

    assert isinstance(heard[1], Missed)
    assert heard[1].after == 5


def test_a_stream_that_the_server_ends_goes_on() -> None:
    server = Server(Call([batch(1, 5)], reached=True), Call([batch(6, 6)], reached=True))

    found = server.follow(Start())

    assert [type(next(found)).__name__ for _ in range(3)] == ["TickBatch", "Lost", "TickBatch"]


def test_the_call_ends_with_its_reader() -> None:
    call = Call([batch(1, 5), batch(6, 6)], reached=True)
    found = Server(call).follow(Start())

    next(found)
    cast("Any", found).close()

    assert call.cancelled
