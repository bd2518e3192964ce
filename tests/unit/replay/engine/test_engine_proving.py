"""Proofs of the order in the stream: what they are of, and that neither kills nor a lost queue make a wrong one."""

from __future__ import annotations

import pytest

from clients.rpc.order_check import CheckedProof, OrderChecker, Outcome
from fastpath.columns import AFTER_EVERYTHING
from fastpath.records import OrderProof
from fastpath.weave import Weaver
from protos.common.v1.market_pb2 import TickBatch
from services.replay.engine.proving import proving
from services.runtime.errors import StartRefused
from services.verify.order_digest import OrderDigest
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage, rows_every
from tests.unit.replay.engine.test_engine_switching import live_rows

EVERY = 4096
MODE_LIVE = 2


def with_rejections(count: int) -> list[Row]:
    rows = rows_every(1_000_000, count)
    for at in range(0, count, 701):
        rows[at] = Row(rows[at].arrival_time_ns, reason=f"bad {at}")
    return rows


def digest_of(queue: FakeQueue, *, first_sequence: int = 1) -> str:
    digest = OrderDigest()
    for frame in queue.frames():
        records: dict[int, tuple[object, ...]] = {one.sequence: (one,) for one in frame.rejections}
        records |= {tick[0]: tick for tick in frame.ticks()}
        for sequence in sorted(records):
            if sequence < first_sequence:
                continue
            one = records[sequence]
            if len(one) == 1:
                digest.add_rejection(one[0].arrival_time_ns, one[0].line, one[0].reason)  # type: ignore[attr-defined]
            else:
                digest.add_tick(one[2], one[3], one[4], one[6], one[1])  # type: ignore[arg-type]
    return digest.hexdigest()


def checked(queue: FakeQueue) -> list[CheckedProof]:
    checker = OrderChecker()
    return [found for one in queue.entries if (found := checker.take(TickBatch.FromString(one))) is not None]


def test_a_proof_stands_behind_every_so_many_records_and_the_report_has_the_last() -> None:
    stage = Stage(with_rejections(2 * EVERY + 10), order_proof=EVERY)

    queue = stage.play()

    assert [found.outcome for found in checked(queue)] == [Outcome.RIGHT] * 2
    assert [found.proof.records for found in checked(queue)] == [EVERY, 2 * EVERY]
    assert isinstance(stage.report.proof, OrderProof)
    assert (stage.report.proof.records, stage.report.proof.first_sequence) == (2 * EVERY + 10, 1)
    assert stage.report.proof.digest == digest_of(queue)


def test_a_partition_has_proofs_of_its_own_records_and_the_one_stream_over_all_has_none() -> None:
    queues = [Stage(with_rejections(rows), partitioned=True, order_proof=EVERY).play() for rows in (EVERY + 10, EVERY)]
    weaver, checker = Weaver(2), OrderChecker()

    for partition, queue in enumerate(queues):
        for batch in queue.entries:
            weaver.feed(partition, batch)
        weaver.promise(partition, queue.epoch, queue.frames()[-1].last_sequence, AFTER_EVERYTHING)
    woven = [TickBatch.FromString(batch) for batch in iter(weaver.take, None)]

    for queue in queues:
        assert [(found.outcome, found.proof.records) for found in checked(queue)] == [(Outcome.RIGHT, EVERY)]
    assert woven[-1].last_sequence == 2 * EVERY + 10
    assert not any(batch.HasField("proof") for batch in woven)
    assert [checker.take(batch) for batch in woven] == [None] * len(woven)


def test_without_the_setting_the_bytes_are_what_they_were_and_nothing_is_stored() -> None:
    rows = with_rejections(EVERY + 10)

    plain, proven = Stage(rows).play(), Stage(rows, order_proof=EVERY).play()

    assert plain.order == FakeQueue().order
    assert len(plain.entries) == len(proven.entries)
    for without, with_proof in zip(plain.entries, proven.entries, strict=True):
        assert with_proof.startswith(without)
        assert (with_proof == without) == (not TickBatch.FromString(with_proof).HasField("proof"))


def test_a_kill_at_any_call_leaves_the_same_proofs() -> None:
    rows = with_rejections(EVERY + 10)
    undisturbed = Stage(rows, order_proof=EVERY).play()
    proofs, digest = [found.proof for found in checked(undisturbed)], digest_of(undisturbed)
    kills = 0
    for call in range(1, 60):
        queue = FakeQueue()
        if not Stage(rows, queue=queue, order_proof=EVERY).play_until_killed(call):
            break
        kills += 1
        again = Stage(rows, queue=queue, order_proof=EVERY)
        again.play()

        batches = map(TickBatch.FromString, queue.entries)
        assert [batch.proof for batch in batches if batch.HasField("proof")] == proofs, call
        assert again.report.proof is not None
        assert again.report.proof.digest == digest, call
    assert kills > 3


@pytest.mark.parametrize("lost", [1, 2])
def test_behind_a_queue_that_lost_its_last_second_proofs_are_right_or_begin_anew(lost: int) -> None:
    stage = Stage(with_rejections(4 * EVERY), speed=1.0, order_proof=EVERY)

    def lose() -> None:
        stage.queue.lose(lost)
        stage.publisher.lost = True

    stage.at(6.0, lose)

    queue = stage.play()

    assert Outcome.WRONG not in [found.outcome for found in checked(queue)]
    last = stage.report.proof
    assert last is not None
    assert last.first_sequence > 1
    assert last.digest == digest_of(queue, first_sequence=last.first_sequence)


def test_switched_on_in_the_midst_of_a_numbering_they_begin_there() -> None:
    rows, queue = with_rejections(2 * EVERY), FakeQueue()
    assert Stage(rows, queue=queue).play_until_killed(4)
    begun = queue.frames()[-1].last_sequence + 1
    stage = Stage(rows, queue=queue, order_proof=EVERY)

    stage.play()

    assert stage.report.proof is not None
    assert stage.report.proof.first_sequence == begun > 1
    assert stage.report.proof.digest == digest_of(queue, first_sequence=begun)
    assert Outcome.WRONG not in [found.outcome for found in checked(queue)]


def test_live_records_and_markers_are_numbered_and_only_records_count() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(1_000_000, EVERY - 2), feed=feed, order_proof=EVERY)
    stage.at(5.0, lambda: stage.journal.add("mode", mode=MODE_LIVE))
    stage.at(6.0, lambda: feed.put(*live_rows(1001, 1002, 1003)))

    queue = stage.play()

    (found,) = checked(queue)
    assert found.outcome is Outcome.RIGHT
    assert (found.proof.records, found.proof.last_sequence) == (EVERY, EVERY + 1)


@pytest.mark.parametrize("every", [1, 4097, -4096, 1 << 31])
def test_a_distance_that_cannot_be_is_refused(every: int) -> None:
    with pytest.raises(StartRefused, match="MIDSTREAM_ORDER_PROOF"):
        proving(every)
