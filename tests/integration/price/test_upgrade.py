"""A log that an earlier version of Midstream began goes on, with the order digest of that version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fastpath.frame import TickFrame
from fastpath.midprice import PriceKernel
from fastpath.price_state import DIGEST_OF_RECORDS, PriceState
from services.price.engine.files import FileSystem
from services.price.engine.position import PositionFile
from services.verify.order_digest import FirstOrderDigest
from tests.integration.price.harness import Engine, Queue
from tests.integration.price.test_sink import assert_exact
from tests.reference import frame as reference_frame
from tests.reference import midprice as reference
from tests.support.price_batches import make_batches

THRESHOLD = 20_000_000
# The words with which every SHA-256 begins.
SHA256_START = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
NOTHING = PriceState(
    digest_version=DIGEST_OF_RECORDS,
    counts=(0,) * 7,
    first_arrival_time_ns=-(2**63),
    last_arrival_time_ns=-(2**63),
    words=SHA256_START,
    compressed=0,
    tail=b"",
)


def test_an_old_log_is_continued_and_its_digest_still_covers_all_of_it(
    start_engine: Callable[..., Engine], queue: Queue, out: Path
) -> None:
    batches = make_batches(2_000)
    twin = reference.PriceKernel(latency_threshold_ns=THRESHOLD, order=FirstOrderDigest())
    old = PriceKernel(latency_threshold_ns=THRESHOLD, state=NOTHING.pack())
    queue.publish(batches[:10])
    engine = start_engine()
    queue.wait_committed(1_000)
    assert queue.announcement()["digest_version"] == 2
    assert engine.stop() == 0
    for batch in batches[:10]:
        old.process(TickFrame(batch.payload))
    file = PositionFile(out / ".midstream" / "position", FileSystem())
    assert file.position is not None
    file.commit(replace(file.position, kernel_state=old.state()))
    file.close()

    engine = start_engine()
    queue.publish(batches[10:])
    announcement = queue.wait_committed(2_000)

    assert engine.stop() == 0
    for batch in batches:
        twin.process(reference_frame.decode(batch.payload))
    assert (announcement["digest_version"], announcement["digest"]) == (1, twin.digest())
    assert announcement["counts"] == twin.counts._asdict()
    assert_exact(out, batches)
