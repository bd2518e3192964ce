"""Runs over recordings of live feeds recomputed, with frames as odd as feeds send them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from fastpath.live import decode_live_frame
from services.replay.sources.options import HistoricalOptions
from services.verify.checking import check
from services.verify.frames import rows_of
from services.verify.reading import Lines, ReadOptions
from services.verify.run import COUNTS, read_run
from services.verify.sources import records
from tests.support.recordings import GARBAGE
from tests.support.replayed import write_logs
from tests.unit.fastpath.frame_support import seed_of_this_run

START_NS = 1_759_449_600 * 10**9
THRESHOLD_NS = 20_000_000
ODD: list[Any] = [
    *(True, -5, -1.5, 1e16, 1.5e-5, 1e-7, 1.25e-9, 10**29, 2**63, 2**64, -(2**63) - 1, 0, 5e-324, -0.0),
    *(
        "x",
        "-3",
        "1e999",
        "+5",
        " 7 ",
        "1_000",
        "é" * 60,
        "x" * 300,
        "a\0b",
        "",
        "   ",
        "٣",
        "NaN",
        '"q"',
        "2025-13-01 00:00:00",
    ),
    *([], [1, {"a": None}], {}, {"k": [1.0, "é\n"]}, None),
]
INSERTED = (b"\\ud800", b"\\u00e9", b"1e400", b"[", b"}", b",", b"NaN", b"-Infinity", b"\xc3", b"00", b"\x00", b'"')


def quote(random_: random.Random, event_ns: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "timestamp": random_.choice([event_ns, event_ns // 1000, "2025-10-03 00:00:00.25"]),
        "ticker": random_.choice(["BTC@X", " é ", "A"]),
    }
    for column in ("ask_amount", "ask_price", "bid_price", "bid_amount"):
        found[column] = random_.choice([1, 1.5, "2.5", None, "", "nan", 1e300, random_.random()])
    for _ in range(random_.choice([0, 0, 0, 1, 2])):
        key = random_.choice(list(found))
        if random_.random() < 0.2:
            del found[key]
        else:
            found[key] = random_.choice(ODD)
    return found


def frame(random_: random.Random, event_ns: int) -> bytes:
    """One frame: often right, and otherwise cut, with constants that are no JSON, or with anything in it."""
    items: list[Any] = [quote(random_, event_ns) for _ in range(random_.choice([1, 1, 2, 3, 0]))]
    if random_.random() < 0.05:
        items.append(random_.choice(ODD))
    found = json.dumps(items[0] if len(items) == 1 else items, ensure_ascii=random_.random() < 0.5).encode()
    if random_.random() < 0.2:
        found = found.replace(b"null", random_.choice([b"NaN", b"Infinity", b"nul"]))
    if random_.random() < 0.2:
        at = random_.randrange(len(found))
        found = random_.choice(
            [found[:at], found[:at] + found[at + 1 :], found[:at] + random_.choice(INSERTED) + found[at:]]
        )
    return found if random_.random() < 0.95 else random_.choice(GARBAGE)


def test_frames_have_the_rows_that_a_live_session_makes_of_them() -> None:
    random_ = random.Random(seed_of_this_run())
    for _ in range(4000):
        payload, block = frame(random_, START_NS), Block(Tickers())
        decode_live_frame(payload, block, receive_time_ns=START_NS, source_rank=0, frame_number=1)

        theirs = [row[1] if len(row) == 3 else (row[1], row[2], *row[3:]) for row in block.to_rows()]
        ours = [row if isinstance(row, str) else (row.event_ns, row.ticker, *row.quote) for row in rows_of(payload)]

        assert repr(ours) == repr(theirs), payload


def recording(random_: random.Random, records: int, *, source: str) -> bytes:
    lines = [
        b'# midstream recording 1 {"source": "%s", "segment": 1, "frames_before": 0, "latest_ns": 0}' % source.encode()
    ]
    now_ns = START_NS
    for number in range(1, records + 1):
        now_ns += random_.choice([0, 1, 1_000_000, 30_000_000])
        payload = frame(random_, now_ns - random_.randrange(-5_000_000, 40_000_000))
        if b"\n" in payload or random_.random() < 0.1:
            lines.append(b"B %d %d %s" % (now_ns, number, base64.b64encode(payload)))
        else:
            lines.append(b"F %d %d %s" % (now_ns, number, payload))
        if random_.random() < 0.1:
            odd = [b"", b"nothing", b"B %d %d ###" % (now_ns, number), b"M x {}", b"M 1 {}", b"F 1", b"F -1 1 {}"]
            odd += [b'M %d {"kind": "gap", "lost_frames": 3}' % now_ns, b'M %d {"kind": "disconnected"}' % now_ns]
            lines.append(random_.choice(odd))
    return b"\n".join([*lines, random_.choice([b"", b"F 1759449", b'F 9999999999999999999 1 {"a":1}'])])


def leave_replay(out: Path, paths: list[str], options: dict[str, Any]) -> str:
    """Leave what a run over recordings leaves, by the kernels; return its order digest."""
    logs = write_logs(paths, HistoricalOptions(**options), threshold_ns=THRESHOLD_NS)
    (out / ".midstream").mkdir(parents=True)
    (out / "mid_prices.log").write_bytes(logs.mid_log)
    (out / "errors.log").write_bytes(logs.error_log)
    counts = logs.counts._asdict() | {"skipped": logs.skipped}
    counts["rows_in"] = counts["mids"] + counts["latency_filtered"] + counts["missing_side"] + counts["rejected"]
    report = {"order_digest": logs.digest, "order_digest_version": 2, "complete": True, "damaged_sources": 0}
    (out / "report.json").write_text(json.dumps(report | {name: counts[name] for name in COUNTS}))
    asked = {
        "latency_threshold_ms": "20",
        "log_timestamp": "event",
        "fraction_unit": "",
        "negative_latency": options.get("negative_latency", "keep"),
        "min_latency_ms": options.get("min_latency_ms", ""),
        "tickers": list(options.get("tickers", ())),
        "start": "2025-10-03 00:00:01" if "start_time_ns" in options else "",
        "end": "",
        "mids_csv": False,
        "latency": list(options.get("latency", ())),
    }
    files = [(path, Path(path).stat(), hashlib.sha256(Path(path).read_bytes()[:65536]).hexdigest()) for path in paths]
    inputs = [[path, status.st_size, status.st_mtime_ns, head] for path, status, head in files]
    (out / ".midstream" / "run.json").write_text(json.dumps({"options": asked, "inputs": inputs}))
    return logs.digest


@pytest.mark.parametrize("seed", range(20))
def test_random_recordings_are_what_their_replay_made_of_them(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    paths = [str(tmp_path / name) for name in ("1.rec", "2.rec.gz")[: random_.randrange(1, 3)]]
    for path in paths:
        content = recording(random_, 150, source="ws://feed/é")
        Path(path).write_bytes(gzip.compress(content) if path.endswith("gz") else content)
    options: dict[str, Any] = {"negative_latency": random_.choice(["keep", "clamp", "shift"])}
    models = ["constant:3ms", "offset:-2ms", "scale:1.5", "lognormal:p50=5ms,p99=40ms,seed=2", f"empirical:{paths[0]}"]
    if random_.random() < 0.6:
        options["latency"] = (random_.choice(models),)
    if random_.random() < 0.3:
        options["tickers"] = ("é", "A")
    if random_.random() < 0.3:
        options["start_time_ns"] = START_NS + 10**9
    digest = leave_replay(tmp_path / "out", paths, options)

    verdict = check(read_run(tmp_path / "out"), lambda block: None)

    assert verdict.differences == (), options
    assert verdict.digest == digest
    assert verdict.records > 20


def test_records_add_up_to_the_lines_of_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "1.rec"
    path.write_bytes(recording(random.Random(3), 300, source="ws://feed"))
    lines = Lines()

    found = list(records(str(path), 0, ReadOptions(), lines, None))

    assert lines.lines_read == path.read_bytes().count(b"\n")
    assert lines.lines_read + lines.more_rows == 1 + lines.ticks + lines.rejected + lines.skipped + lines.blank
    assert len(found) == lines.ticks + lines.rejected
    assert [record.line for record in found] == list(range(1, len(found) + 1))
    assert lines.more_rows > 0 < lines.blank
