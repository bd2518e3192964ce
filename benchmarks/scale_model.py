"""How far it goes, from one machine to a billion ticks a second: `python -m benchmarks.scale_model [--write]` makes docs/scale.md."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.failover import Case, Outcome, fluid_recovery_s, simulate
from benchmarks.page import load as load_results
from benchmarks.partition_costs import ENGINE, REDIS, ROLES, SINK
from benchmarks.scale_costs import NS, Assumed, Costs, load
from services.runtime.session.holders import LEASE_MS
from services.runtime.session.owners import BEAT_S, DEAD_S

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
RATES: Final = tuple(10**power for power in range(3, 10))
BUSY: Final = (0.3, 0.5, 0.65)
MEASURED_CORES: Final = 2
THEN: Final = {
    "one engine's core": "more partitions: set `MIDSTREAM_PARTITIONS`",
    "Redis's core": "a cluster: a partition is a slot, so that primaries share them",
    "rows of other partitions": "another session for some of the sources: its engines do not read the others",
    "a reader of everything": "a reader for each partition, or fewer tickers",
    "one machine": "another machine: its server takes its share by itself",
    "one session": "sessions by source; there is no order across them but arrival time, and nobody reads all",
}


@dataclass(frozen=True)
class Plan:
    """What it takes to carry a rate."""

    rate: float
    sessions: int
    partitions: int
    """Of each session."""
    cores: float
    machines: int
    bound: str
    """What there have to be so many machines for."""
    network_bytes_s: float
    memory_bytes: float
    primaries: int
    connections: int
    commands_s: float
    """What owners ask Redis to share a session, a second."""
    first: str
    """What is nearest to its limit."""


def cpu_ns(costs: Costs, partitions: int) -> float:
    """Return what a tick costs engines, Redis and sinks together."""
    return costs.own_ns + (partitions - 1) * costs.other_ns + costs.redis_ns + costs.sink_ns


def session_rate_max(costs: Costs, assumed: Assumed, partitions: int) -> float:
    """Return the ticks a second at which each engine of a session has its core as busy as it may be."""
    return assumed.busy / NS / (costs.own_ns / partitions + costs.other_ns * (1 - 1 / partitions))


def plan(costs: Costs, assumed: Assumed, rate: float) -> Plan:
    """Choose the fewest sessions and partitions that carry a rate, and add up what they need."""
    sessions = math.ceil(rate / session_rate_max(costs, assumed, assumed.session_partitions_max))
    share = rate / sessions
    partitions = next(
        count
        for count in range(1, assumed.session_partitions_max + 1)
        if session_rate_max(costs, assumed, count) >= share * 0.999999
    )
    reading = assumed.readers * (costs.deliver_ns + (assumed.weave_ns if partitions > 1 else 0))
    redis_ns = costs.redis_ns * (1 + assumed.replicas)
    cores = rate * NS * (cpu_ns(costs, partitions) - costs.redis_ns + redis_ns + reading) / assumed.busy
    memory = sessions * partitions * costs.partition_bytes * 1.0
    # Appended, copied to replicas, read by a sink and a server, and sent to every reader.
    network = rate * costs.tick_bytes * (1 + assumed.replicas + 2 + assumed.readers)
    fractions = {
        "cores": cores / assumed.cores,
        "memory": memory / assumed.memory_bytes,
        "network": network / assumed.network_bytes_s / assumed.busy,
    }
    machines = math.ceil(max(fractions.values()))
    owners = max(1, min(partitions, machines // sessions))
    return Plan(
        rate,
        sessions,
        partitions,
        cores,
        machines,
        max(fractions, key=lambda name: fractions[name]),
        network,
        memory,
        primaries=math.ceil(rate * costs.redis_ns * NS / assumed.busy),
        connections=round(sessions * partitions * costs.connections),
        # Each tells that it lives, reads who else does, looks for the producer of every partition and at the clients.
        commands_s=sessions * owners * (partitions + 3) / BEAT_S if partitions > 1 else 0.0,
        first=_first(costs, assumed, share, partitions, sessions, machines),
    )


def _first(costs: Costs, assumed: Assumed, share: float, partitions: int, sessions: int, machines: int) -> str:
    """Name what is nearest to its limit in a session of this many partitions."""
    engine_ns = costs.own_ns / partitions
    near = {
        "one engine's core": share / session_rate_max(costs, assumed, partitions),
        "Redis's core": share / partitions * costs.redis_ns * NS / assumed.busy,
        "a reader of everything": share * (costs.deliver_ns + assumed.weave_ns * (partitions > 1)) * NS,
    }
    if sessions > 1:
        return "one session"
    found = max(near, key=lambda name: near[name])
    if found == "one engine's core" and costs.other_ns * (1 - 1 / partitions) > engine_ns:
        return "rows of other partitions"
    return "one machine" if machines > 1 and near[found] < 0.5 else found


def outages(start_s: float) -> dict[str, float]:
    """Return for how long a partition has no producer, by what happened to its server."""
    return {
        "ends in order": BEAT_S + start_s,
        "is killed": DEAD_S + BEAT_S + start_s,
        "its host is gone": LEASE_MS / 1000 + BEAT_S + start_s,
    }


def si(value: float, unit: str = "") -> str:
    """Write a figure with two digits and a prefix."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}".rstrip()
    return f"{value:.3g} {unit}".rstrip()


def render(costs: Costs, assumed: Assumed, start_s: float) -> str:
    """Write the page."""
    return "\n".join([*_head(costs, assumed), *_checked(costs), *_plans(costs, assumed), *_failovers(start_s)]) + "\n"


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def header(*cells: str) -> list[str]:
    """Return the first two lines of a table."""
    return [row(*cells), f"|{'---|' * len(cells)}"]


def _head(costs: Costs, assumed: Assumed) -> list[str]:
    partition = f"{costs.partition_bytes / 2**20:.0f} MiB, {costs.connections:.1f} connections"
    return [
        "# Scale: what it takes, and what breaks first",
        "",
        "A model of [partitions](partitions.md) from measured costs: `python -m benchmarks.scale_model --write` makes this page, from",
        "`benchmarks/results.json` ([speed](speed.md)) and `benchmarks/partition_costs.json` (`python -m",
        "benchmarks.partition_costs`). Only what the second table compares was run; the rest is arithmetic and simulation.",
        "",
        *header("measured", "of a tick"),
        row("an engine's own: decoded, ordered, encoded, appended", f"{costs.own_ns:.0f} ns of CPU"),
        row(
            "a row that another partition takes, in files of one ticker each",
            f"{costs.other_ns:.0f} ns of CPU in each engine but one",
        ),
        row("Redis", f"{costs.redis_ns:.0f} ns"),
        row("the sink: read, computed, written", f"{costs.sink_ns:.0f} ns"),
        row("sent to a reader (G7b)", f"{costs.deliver_ns:.0f} ns"),
        row("a live message of one tick, to the queue (G10)", f"{costs.live_ns:,.0f} ns"),
        row("in a full batch", f"{costs.tick_bytes:.1f} bytes"),
        row("a partition: engine, sink, queue at its limits", partition),
        "",
        f"Assumed, not measured: machines of {assumed.cores} cores, {assumed.memory_bytes >> 30} GiB and "
        f"{assumed.network_bytes_s * 8 / 1e9:g} Gbit/s, used to {assumed.busy:.0%}; {assumed.readers} readers of everything,",
        f"{assumed.replicas} replica, {assumed.weave_ns:g} ns a tick for one order of several partitions. Batches are full, as",
        "those of recorded data are; live ticks that come one by one cost what the table says.",
        "",
    ]


def _checked(costs: Costs) -> Iterator[str]:
    one = costs.measured[1]
    before = sum(one[role] for role in ROLES)
    yield "## Model against measurement"
    yield f"All of it on one machine of {MEASURED_CORES} cores, which others used as well: CPU is a median, ticks a second are the best."
    yield ""
    names = (
        "partitions",
        "engines",
        "Redis",
        "sinks",
        "sum",
        "against one",
        "model",
        "off by",
        "M ticks/s",
        "with both cores for it",
    )
    yield from header(*names)
    for count, found in costs.measured.items():
        total, said = sum(found[role] for role in ROLES), cpu_ns(costs, count)
        cpu = [f"{value:.0f} ns" for value in (*(found[role] for role in (ENGINE, REDIS, SINK)), total)]
        rates = f"{1e3 / found['wall']:.2f}", f"{MEASURED_CORES * 1e3 / total:.2f}"
        yield row(
            str(count),
            *cpu,
            f"{total / before:.2f}x",
            f"{said:.0f} ns",
            f"{round(100 * (said / total - 1)):+d}%",
            *rates,
        )
    worst = max(sum(found[role] for role in ROLES) for found in costs.measured.values()) / before
    yield ""
    yield (
        f"CPU per tick was to grow by 10 % at most, which is {'kept' if worst <= 1.1 else 'not kept'}: it grows {worst:.2f}x "
        "with files of one ticker"
    )
    yield "each, which engines of other partitions do not read; where tickers mix, each row costs every engine that drops it some 27 ns."
    yield f"The load was {costs.load:.0f} when it was measured, so that ticks a second say little; the last column is"
    yield "what CPU allows when nobody else is there. Partitions are for more machines. The model takes Redis and sinks as they are"
    yield "with one partition; that they take more with several is what it is off by."
    yield "[What the rest is](partitions.md#what-it-costs)."
    yield ""


def _plans(costs: Costs, assumed: Assumed) -> Iterator[str]:
    yield "## From a thousand to a billion ticks a second"
    names = (
        "ticks/s",
        "sessions x partitions",
        "cores",
        "machines (for)",
        "network",
        "memory",
        "primaries",
        "connections",
    )
    yield from header(*names, "owners ask Redis", "first to break")
    plans = [plan(costs, assumed, rate) for rate in RATES]
    for each in plans:
        size = f"{each.sessions:,} x {each.partitions}", f"{each.cores:,.2f}", f"{each.machines:,} ({each.bound})"
        bulk = (
            si(each.network_bytes_s, "B/s"),
            si(each.memory_bytes, "B"),
            f"{each.primaries:,}",
            f"{each.connections:,}",
        )
        yield row(si(each.rate), *size, *bulk, si(each.commands_s, "/s"), each.first)
    yield ""
    for name in dict.fromkeys(each.first for each in plans):
        yield f"- **{name}**: {THEN[name]}."
    count = assumed.session_partitions_max
    carried, alone = session_rate_max(costs, assumed, count), session_rate_max(costs, assumed, 1)
    yield (
        f"- One partition carries {si(alone)} ticks/s, {count} carry {si(carried)}, and however many there are, a session ends at "
        f"{si(assumed.busy / NS / costs.other_ns)}: each engine passes over every row."
    )
    yield (
        f"- A feed of one tick a message ends at {si(assumed.busy / NS / costs.live_ns)} ticks/s and session, because each engine takes "
        "all of the feed; beyond that, a feed and a session for part of the tickers."
    )
    yield "- Sessions have no order across them; whoever wants one merges by arrival time, of which each reader has its own."
    yield ""


def _failovers(start_s: float) -> Iterator[str]:
    case = Case(busy=BUSY[0])
    yield "## When a machine dies"
    yield (
        f"Simulated event by event (seed {case.seed}): {case.partitions} partitions on {case.machines} machines of {case.cores} cores, "
        f"a batch of each every {case.batch_s * 1000:g} ms, for {case.ends_s:g} s."
    )
    yield (
        f"A machine dies at {case.dies_s:g} s; an engine takes {start_s:.1f} s to start (G11). Delay is from when a batch was due "
        "until its reader has it, recovery from when"
    )
    yield "the partitions went on until nothing was late."
    yield ""
    names = ("the server", "without a producer", "cores busy", "delay p50", "p99", "longest", "backlog", "recovery")
    yield from header(*names, "at least, by arithmetic")
    for what, outage_s in {"lives": 0.0, **outages(start_s)}.items():
        for busy in BUSY:
            case = Case(busy=busy, outage_s=outage_s)
            yield _failover_row(what, case, simulate(case))
    yield ""
    left = case.machines - 1
    yield (
        f"Its share goes to the others, so that {BUSY[-1]:.0%} of {case.machines} machines are "
        f"{BUSY[-1] * case.machines / left:.0%} of {left}. "
        "What waits is worked off by what these have to spare: the busier, the longer."
    )


def _failover_row(what: str, case: Case, found: Outcome) -> str:
    delays = (f"{value:,.0f} ms" for value in (found.delay_ms_p50, found.delay_ms_p99, found.delay_ms_max))
    recovery = (f"{found.recovery_s:.1f} s", f"{fluid_recovery_s(case):.1f} s") if case.outage_s else ("", "")
    return row(
        what, f"{case.outage_s:.1f} s", f"{case.busy:.0%}", *delays, f"{found.backlog_batches_max:,} batches", *recovery
    )


def current() -> str:
    """Return the page as today's figures make it."""
    start_s = next(result.median for result in load_results()[1] if result.id == "G11")
    return render(load(), Assumed(), start_s)


def main() -> None:
    """Print the page, or write it."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(current(), encoding="utf-8")
    else:
        print(current(), end="")


if __name__ == "__main__":
    main()
