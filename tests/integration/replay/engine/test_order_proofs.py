"""Proofs of the order in a real queue: the same ones however often the engine is killed, and the same string as the sink's."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from clients.rpc.order_check import CheckedProof, OrderChecker, Outcome
from fastpath.frame import TickFrame
from fastpath.midprice import PriceKernel
from protos.common.v1.market_pb2 import TickBatch
from tests.integration.replay.engine.harness import EngineChild, Session, records
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]
EVERY = 4096


def payloads(session: Session) -> list[bytes]:
    entries: Any = session.client.xrange(session.keys.ticks)
    return [fields[b"b"] for _, fields in entries]


def checked(session: Session) -> list[CheckedProof]:
    checker = OrderChecker()
    batches = map(TickBatch.FromString, payloads(session))
    return [found for batch in batches if (found := checker.take(batch)) is not None]


def digest_of_a_sink(session: Session) -> str:
    kernel = PriceKernel(latency_threshold_ns=20_000_000)
    for payload in payloads(session):
        kernel.process(TickFrame(payload))
    return kernel.digest()


@pytest.mark.long
def test_killed_at_random_the_proofs_are_those_of_an_undisturbed_run(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    seed = Random().randrange(1 << 30)
    print("seed", seed)  # noqa: T201
    random = Random(seed)
    calm = Session(redis_url, f"{session_name}.calm")
    engine = start_engine(redis_url, calm.keys.session, order_proof=EVERY)
    engine.wait_state("COMPLETED", timeout_s=60.0)
    engine.stop()
    session = Session(redis_url, session_name)
    for _ in range(4):
        before = session.last_sequence()
        engine = start_engine(redis_url, session_name, speed=20.0, order_proof=EVERY)
        goal = before + random.randrange(1, 4000)
        wait_until(lambda goal=goal: session.last_sequence() >= goal, timeout_s=60.0)  # type: ignore[misc]
        engine.kill()
    engine = start_engine(redis_url, session_name, order_proof=EVERY)
    engine.wait_state("COMPLETED", timeout_s=60.0)
    engine.stop()

    assert records(session.frames()) == records(calm.frames())
    found = checked(session)
    assert [one.outcome for one in found] == [Outcome.RIGHT] * (20_007 // EVERY)
    assert [one.proof for one in found] == [one.proof for one in checked(calm)]
    proof = session.state()["proof"]
    assert proof == calm.state()["proof"]
    assert proof["digest"] == digest_of_a_sink(session)
    assert (proof["first_sequence"], proof["last_sequence"], proof["records"]) == (1, 20_007, 20_007)


def test_a_state_that_cannot_be_read_has_proofs_begin_anew(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_url, session_name)
    engine = start_engine(redis_url, session_name, speed=20.0, order_proof=EVERY)
    wait_until(lambda: session.last_sequence() >= 1000, timeout_s=60.0)
    engine.kill()
    begun = session.last_sequence() + 1
    session.client.hset(session.keys.order, "state", b"x")

    engine = start_engine(redis_url, session_name, order_proof=EVERY)
    engine.wait_state("COMPLETED", timeout_s=60.0)
    engine.stop()

    assert session.state()["proof"]["first_sequence"] == begun
    assert [one.outcome for one in checked(session)] == [Outcome.UNKNOWN] + [Outcome.RIGHT] * 3
