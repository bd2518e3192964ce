"""The price server of a session of several partitions: a sink for each, and their mids as those of one session."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from protos.common.v1.market_pb2 import PartitionPosition
from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceStub
from services.runtime.session.partitions import Partitioning
from tests.integration.price.harness import PATIENCE_S, Queue, partition_queues, read_logs, wait_for
from tests.integration.price.test_server import Server, mids_in, mids_of, start_server, wait_health
from tests.support.cli import midstream_here
from tests.support.imports import ROOT
from tests.support.partitioned import batches_of, made_rows, split
from tests.support.price_batches import Batch, expected_logs

__all__ = ["start_server"]  # a fixture

N = 3
PAGE = (ROOT / "docs" / "partition_logs.md").read_text(encoding="utf-8")
Mid = tuple[int, str, int, int, float]


def publish(redis_url: str, session: str, parts: list[list[Batch]]) -> list[Queue]:
    """Publish as the producers of all partitions do."""
    queues = partition_queues(redis_url, session, len(parts))
    for queue, batches in zip(queues, parts, strict=True):
        queue.publish(batches)
    return queues


async def collected(stub: PriceServiceStub, request: pb.StreamMidPricesRequest, count: int) -> dict[int, list[Mid]]:
    """Read a stream until it gave so many mids; return those of each partition."""
    found: dict[int, list[Mid]] = {}
    async with asyncio.timeout(PATIENCE_S):
        call = stub.StreamMidPrices(request)
        async for response in call:
            assert response.batch.HasField("partition")
            found.setdefault(response.batch.partition, []).extend(mids_in(response))
            if sum(map(len, found.values())) >= count:
                call.cancel()
                return found
    raise AssertionError(f"the stream ended after {found}")


async def refusal(stub: PriceServiceStub, request: pb.StreamMidPricesRequest, code: str = "INVALID_ARGUMENT") -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.StreamMidPrices(request).read()
    assert caught.value.code().name == code
    return caught.value.details() or ""


async def test_a_session_that_turns_out_to_have_partitions_is_priced_as_one(
    start_server: Callable[..., Server],
    redis_url: str,
    session: str,
    out: Path,
) -> None:
    rows = made_rows(1_500, seed=3)
    parts = [
        batches_of(part, tied=True, epoch=f"e{k}", rows_per_batch=20)
        for k, part in enumerate(split(rows, Partitioning(N)))
    ]
    expected = {partition: mids_of(batches) for partition, batches in enumerate(parts)}
    count = sum(map(len, expected.values()))
    server = start_server(MIDSTREAM_MIDS_CSV="on")
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = PriceServiceStub(channel)
        # Nobody has published yet: it waits as the server of a session of one partition.
        await wait_health(channel, serving=True)

        early = stub.StreamMidPrices(pb.StreamMidPricesRequest())
        await early.initial_metadata()
        queues = publish(redis_url, session, parts)
        for queue, batches in zip(queues, parts, strict=True):
            await asyncio.to_thread(queue.wait_committed, batches[-1].last_sequence)
        await wait_health(channel, serving=True)
        with pytest.raises(grpc.aio.AioRpcError, match="several partitions now; subscribe again"):
            await early.read()

        assert await collected(stub, pb.StreamMidPricesRequest(from_oldest=True), count) == expected
        one = pb.StreamMidPricesRequest(from_oldest=True, partition=2)
        assert await collected(stub, one, len(expected[2])) == {2: expected[2]}
        behind = pb.StreamMidPricesRequest(after_sequence=expected[1][9][0], partition=1)
        assert await collected(stub, behind, len(expected[1]) - 10) == {1: expected[1][10:]}
        # As a reader goes on whose connection broke: behind what it has of two, and as it was asked of the third.
        places = {0: 4, 2: 7}
        told = [PartitionPosition(partition=k, epoch=f"e{k}", sequence=expected[k][at][0]) for k, at in places.items()]
        rest = {k: part[places.get(k, -1) + 1 :] for k, part in expected.items()}
        on = pb.StreamMidPricesRequest(from_oldest=True, after=told)
        assert await collected(stub, on, sum(map(len, rest.values()))) == rest
        one = pb.StreamMidPricesRequest(partition=2, after=told[1:])
        assert await collected(stub, one, len(rest[2])) == {2: rest[2]}
        assert "at most once" in await refusal(stub, pb.StreamMidPricesRequest(partition=1, after=told))
        assert "leave one out" in await refusal(
            stub, pb.StreamMidPricesRequest(partition=2, after_sequence=1, after=told[1:])
        )
        told[0].epoch = "gone"
        assert "epoch `gone` is over" in await refusal(stub, pb.StreamMidPricesRequest(after=told), "OUT_OF_RANGE")
        assert "needs `partition` here" in await refusal(stub, pb.StreamMidPricesRequest(after_sequence=1))
        assert "must be one of 0 to 2" in await refusal(stub, pb.StreamMidPricesRequest(partition=3))
        for sequence, ticker, _, _, mid in {each[1]: each for part in expected.values() for each in part}.values():
            answer = await stub.GetMidPrice(pb.GetMidPriceRequest(ticker=ticker))
            assert (answer.mid_price.sequence, answer.mid_price.mid_price) == (sequence, mid)
    merging = midstream_here("merge-logs", out, "--out", out / "merged")
    assert merging.code == 2
    assert "a sink is writing to" in merging.stderr
    assert server.stop() == 0
    # It learned how the session is published, which is no mistake of anybody's.
    assert '"level": "error"' not in server.stderr_path.read_text()
    for queue in queues:
        queue.close()

    # As the page says it; `--out` may be where the partitions are.
    [command] = re.findall(r"^midstream (merge-logs var --out merged)$", PAGE, re.MULTILINE)
    merging = midstream_here(*({"var": out, "merged": out}.get(word, word) for word in command.split()))

    assert merging.code == 0, merging.stderr
    one_partition = expected_logs(batches_of(rows, tied=False))
    merged = read_logs(out)
    assert (merged.mids, merged.errors) == (one_partition.mids, one_partition.errors)
    assert merged.csv.partition(b"\n")[2] == one_partition.csv


async def test_what_keeps_one_partition_from_working_is_told_with_its_number(
    start_server: Callable[..., Server],
    redis_url: str,
    session: str,
    out: Path,
) -> None:
    (out / "p1").mkdir(parents=True)
    (out / "p1" / "errors.log").write_text("somebody's\n")
    publish(redis_url, session, [[], []])[0].close()

    server = start_server()

    assert wait_for(lambda: server.process.poll(), what="the end of the server") == 2
    assert "p1/errors.log` exists, but no position" in server.stderr_path.read_text()
