"""One session in 1, 2 and 4 partitions, all of it on this machine: `python -m benchmarks.partition_costs`.

What a tick costs in each role is counted from when everything runs and the session, slowed down until then, is told to go as fast as it
can: imports and starts are not in it. Writes benchmarks/partition_costs.json, from which the model of docs/scale.md takes its figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import Usage, Watch, cpu_s
from clients.rpc import ControlClient
from services.runtime.connection import connect
from services.runtime.embedded import EmbeddedRedis
from services.runtime.session.keys import SessionKeys

ROOT: Final = Path(__file__).resolve().parents[1]
MEASURED: Final = Path(__file__).with_suffix(".json")
COUNTS: Final = (1, 2, 4)
TICKS, ROUNDS = 2_000_000, 3
FILES: Final = 8
SLOWLY: Final = "0.01"
ROWS_PER_SECOND: Final = 1_000
ENGINE, SINK, REDIS = "replay engine", "price engine", "redis"
ROLES: Final = (ENGINE, SINK, REDIS)
TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class Ticks:
    """Files, and how many ticks they have."""

    count: int
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One input, from when it was let go to its last commit."""

    seconds: float
    cpu_s: dict[str, float]
    connections: int
    queue_bytes: int
    peak_bytes: dict[str, int]
    """Of the largest process of a role."""


def measure(scratch: Path, *, ticks: int, rounds: int) -> dict[str, Any]:
    """Measure every number of partitions in turn, and return medians of the CPU that a tick takes, and its shortest time."""
    data = write_files(scratch / "data", ticks)
    costs: dict[int, list[dict[str, float]]] = {count: [] for count in COUNTS}
    last: dict[int, Run] = {}
    for number in range(rounds):
        for count in COUNTS:
            run = last[count] = _run(scratch / f"{number}-{count}", data, count)
            cost = {role: run.cpu_s[role] / data.count * 1e9 for role in ROLES}
            cost["wall"] = run.seconds / data.count * 1e9
            costs[count].append(cost)
            shown = ", ".join(f"{name} {value:.0f}" for name, value in cost.items())
            print(f"round {number + 1}, {count} partitions, ns per tick: {shown}", file=sys.stderr, flush=True)
    found = {
        str(count): {name: statistics.median(each[name] for each in costs[count]) for name in ROLES}
        # Others on the machine can only make it longer.
        | {"wall": min(each["wall"] for each in costs[count])}
        | {key: value for key, value in asdict(last[count]).items() if key not in ("seconds", "cpu_s")}
        for count in COUNTS
    }
    load = round(os.getloadavg()[0], 1)
    return {"cores": os.cpu_count(), "load": load, "ticks": data.count, "rounds": rounds, "partitions": found}


def write_files(folder: Path, ticks: int) -> Ticks:
    """Write as many ticks into files of one ticker each, their rows by turns."""
    folder.mkdir()
    paths = []
    for number in range(FILES):
        path = folder / f"{number}.csv"
        with path.open("w", encoding="ascii") as rows:
            rows.write("index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n")
            for row in range(ticks // FILES):
                minute, millisecond = divmod(row * 1_000 // ROWS_PER_SECOND, 60_000)
                stamp = (
                    f"2025-10-03 {minute // 60:02}:{minute % 60:02}:{millisecond // 1000:02}.{millisecond % 1000:03}"
                )
                price = 1_000 + row % 97
                rows.write(
                    f"{row},{stamp},{_ticker(number)},{row % 89}.5,{price}.52,{price}.25,1.25,{15 + row % 7}.{number}\n"
                )
        paths.append(str(path))
    return Ticks(ticks // FILES * FILES, tuple(paths))


def _ticker(number: int) -> str:
    return f"COIN{number}-USDT-SWAP@VENUE"


def _run(folder: Path, data: Ticks, count: int) -> Run:
    out = folder / "out"
    out.mkdir(parents=True)
    server = EmbeddedRedis.start(folder / "redis", append_only=False)
    try:
        # Eight tickers are too few for a hash to spread them.
        spread = ",".join(f"{_ticker(number)}={number % count}" for number in range(FILES))
        settings = {
            "MIDSTREAM_REDIS_URL": server.url,
            "MIDSTREAM_OUT": str(out),
            "MIDSTREAM_HISTORICAL": ",".join(data.paths),
            "MIDSTREAM_PARTITIONS": str(count),
            "MIDSTREAM_PARTITION_OF": spread if count > 1 else "",
            "MIDSTREAM_SPEED": SLOWLY,
            "MIDSTREAM_SINKS": "price",
            "MIDSTREAM_PRICE_EXCHANGES": "",
            "MIDSTREAM_LOG_LEVEL": "warning",
            **{
                f"MIDSTREAM_{name}_{port}": "0"
                for name in ("REPLAY", "PRICE", "CONTROL")
                for port in ("PORT", "METRICS_PORT")
            },
        }
        keys = [SessionKeys("default", number) for number in range(count)]
        with connect(server.url, client_name="bench") as client, _servers(out, settings) as watches:
            redis_client: Any = client
            _wait(lambda: all(_is_working(redis_client, each) for each in keys), what="every partition's first commit")
            before = _cpu(watches, server.pid)
            port = json.loads((out / "control.ready.json").read_text(encoding="utf-8"))["port"]
            with ControlClient(f"127.0.0.1:{port}") as control:
                began_s = time.monotonic()
                control.set_speed(0.0)
            _wait(lambda: _committed(redis_client, keys) == data.count, what="the last commit")
            seconds = time.monotonic() - began_s
            after = _cpu(watches, server.pid)
            usages = [usage for watch in watches for usage in watch.by_pid.values()]
            return Run(
                seconds,
                {role: after[role] - before[role] for role in ROLES},
                connections=len(redis_client.client_list()) - 1,
                queue_bytes=int(redis_client.info("memory")["used_memory_peak"]),
                peak_bytes={role: _peak(usages, role) for role in (ENGINE, SINK)},
            )
    finally:
        server.stop()


@contextlib.contextmanager
def _servers(out: Path, settings: dict[str, str]) -> Iterator[list[Watch]]:
    """Keep a price and a replay server running, watched with all that is below them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIDSTREAM_")} | settings
    with contextlib.ExitStack() as opened:
        watches = []
        for name in ("control", "price", "replay"):
            log = opened.enter_context((out / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"services.{name}"],
                cwd=ROOT,
                env=environment | {"MIDSTREAM_READY_FILE": str(out / f"{name}.ready.json")},
                stdout=log,
                stderr=log,
            )
            opened.callback(_end, process)
            watches.append(Watch(process.pid))
            opened.callback(watches[-1].stop)
        yield watches


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(condition: Callable[[], bool], *, what: str) -> None:
    """Wait for what other processes do. Raises TimeoutError."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what} did not happen within {TIMEOUT_S:g} s")
        time.sleep(0.005)


def _cpu(watches: list[Watch], redis_pid: int) -> dict[str, float]:
    """Return what each role has taken so far."""
    for watch in watches:
        watch.sample()
    usages = [usage for watch in watches for usage in watch.by_pid.values()]
    found = {role: sum(each.cpu_s for each in usages if each.role == role) for role in (ENGINE, SINK)}
    return found | {REDIS: cpu_s(redis_pid)}


def _is_working(client: Any, keys: SessionKeys) -> bool:
    stored = client.hget(keys.sinks, "price")
    return bool(stored) and json.loads(stored).get("sequence", 0) > 0


def _peak(usages: list[Usage], role: str) -> int:
    return max((usage.peak_rss_bytes for usage in usages if usage.role == role), default=0)


def _committed(client: Any, keys: list[SessionKeys]) -> int:
    """Add up what the sinks of all partitions have committed."""
    stored = [client.hget(each.sinks, "price") for each in keys]
    return sum(int(json.loads(each).get("sequence", 0)) for each in stored if each)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partition_costs", description=__doc__)
    parser.add_argument("--ticks", type=int, default=TICKS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        found = measure(Path(scratch), ticks=options.ticks, rounds=options.rounds)
    MEASURED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    one = found["partitions"]["1"]
    for count, row in found["partitions"].items():
        cpu, before = (sum(each[role] for role in ROLES) for each in (row, one))
        print(f"{count} partitions: {1e3 / row['wall']:.2f} M ticks/s, {cpu:.0f} ns of CPU a tick, {cpu / before:.2f}x")


if __name__ == "__main__":
    main()
