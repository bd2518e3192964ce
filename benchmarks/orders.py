"""G13, L06: orders through the service against the bare exchange client beside it, and what is left of that under ten times the load.

The load comes twice: from a generator that takes a tenth of a core (`storm_client`), as load from other machines would, and through
gRPC's own client, which takes one of the machine's cores from the server.

The service journals each order durably before and after it is sent, and answers over gRPC; the exchange client only sends. Both
place at the same simulator, whose limits (and with them those of the client, which reads them there) are out of the way.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.context import Context, until
from benchmarks.order_stage import Stage, check_books, order_stage
from benchmarks.processes import cpu_s
from benchmarks.results import Goal, Result

CLIENT: Final = "benchmarks.order_client"
GENERATOR: Final = "benchmarks.storm_client"
SHARE: Final = Goal(0.6, 0.85)
"""Two durable commits and a gRPC call per order are not free; half as fast as no journal would be too dear."""
CPU_MS: Final = Goal(5, 3, lower_is_better=True)
ALONE_MS: Final = Goal(10, 6, lower_is_better=True)
AT_ONCE_MS: Final = Goal(250, 100, lower_is_better=True)
GOODPUT: Final = Goal(0.9, 0.97)
REFUSED_MS: Final = Goal(20, 5, lower_is_better=True)
CANCELLED: Final = Goal(0, 0, lower_is_better=True)
"""Nobody cancels here: a call that ends so was dropped by the server without a word."""
ORDERS: Final = 3_000
ORDERS_QUICK: Final = 600
ALONE_SHARE: Final = 5
"""One order at a time takes longer; a fifth of them is enough for a median."""
AT_ONCE: Final = 32
DIRECT_SHARE: Final = 3
"""The bare client places so much less: the service journals each of its orders, too, before the next round begins."""
REST_S: Final = 0.5
REST_SHARE_MAX: Final = 0.1
SETTLE_S: Final = 90.0
STORM_S: Final = 42.0
STORM_S_QUICK: Final = 24.0
OVERLOAD: Final = 10
OFFERED_MAX: Final = 8_000.0
"""A second: more does the generator not send."""
LIBRARY_MAX: Final = 3_000.0
"""A second: more does one process not send through gRPC's own client, and it takes a core for that."""
BYSTANDER_PER_S: Final = 20.0
PROBE_S: Final = 60.0


def orders_storm(context: Context) -> list[Result]:
    """Place in a closed loop on both sides, in turn, and alone; then offer ten times what the service did, on a timetable."""
    count = ORDERS_QUICK if context.quick else ORDERS
    seconds = STORM_S_QUICK if context.quick else STORM_S
    closed: list[dict[str, float]] = []
    alone: list[dict[str, float]] = []
    storms: list[dict[str, Any]] = []
    library: list[dict[str, Any]] = []
    with order_stage(context) as stage:

        def ours() -> float:
            closed.append(_closed(context, stage, count, AT_ONCE))
            return closed[-1]["seconds"]

        def theirs() -> float:
            found = context.answer(CLIENT, "direct", stage.exchange_url, str(count // DIRECT_SHARE), str(AT_ONCE))
            _settle(stage)
            return DIRECT_SHARE * float(found["seconds"])

        ratios = context.pairs_of(ours, theirs)
        alone += [_closed(context, stage, count // ALONE_SHARE, 1) for _ in range(len(closed))]
        peak = max(count / one["seconds"] for one in closed)
        for _ in context.rounds():
            storms.append(_storm(context, stage, GENERATOR, min(OVERLOAD * peak, OFFERED_MAX), seconds))
        library.append(_storm(context, stage, CLIENT, min(OVERLOAD * peak, LIBRARY_MAX), seconds))
        check_books(stage)
    return [*_closed_results(closed, alone, ratios, count), *_storm_results(storms, library, peak)]


def _settle(stage: Stage) -> None:
    """Wait until the server rests: it journals the orders of the bare client as those of a stranger, and that is not its own work."""

    def rests() -> bool:
        before_s = cpu_s(stage.pid)
        time.sleep(REST_S)
        return cpu_s(stage.pid) - before_s < REST_SHARE_MAX * REST_S

    until(rests, what="the end of the strangers' orders", timeout_s=SETTLE_S)


def _closed(context: Context, stage: Stage, count: int, at_once: int) -> dict[str, float]:
    """Return what the callers found, with the CPU time of the server for each order."""
    before_s = cpu_s(stage.pid)
    found: dict[str, float] = context.answer(CLIENT, "closed", str(stage.port), stage.key, str(count), str(at_once))
    # The callers warm up with as many orders as there are of them.
    found["cpu_ms"] = 1e3 * (cpu_s(stage.pid) - before_s) / (count + at_once)
    context.say(f"  {at_once} at once: {found}")
    return found


def _storm(context: Context, stage: Stage, sender: str, per_s: float, seconds: float) -> dict[str, Any]:
    """Return what the storm of a module found, with what two bystanders did meanwhile.

    Those have processes of their own, so that the storm's own queue is not taken for the server's.
    """
    place = ("storm", str(stage.port), stage.key)
    log = context.scratch / "probe.log"
    with ExitStack() as stack:
        health = stack.enter_context(context.child(CLIENT, "health", str(stage.port), str(seconds), log=log))
        bystander = stack.enter_context(context.child(CLIENT, *place, str(BYSTANDER_PER_S), str(seconds), log=log))
        before_s = cpu_s(stage.pid)
        found: dict[str, Any] = context.answer(sender, *place, str(per_s), str(seconds))
        found["server_share"] = (cpu_s(stage.pid) - before_s) / seconds
        found["health"], found["bystander"] = _answer(health), _answer(bystander)
    context.say(f"  {found}")
    return found


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(process.communicate(timeout=PROBE_S)[0])
    return found


def _closed_results(
    closed: Sequence[dict[str, float]], alone: Sequence[dict[str, float]], ratios: Sequence[float], count: int
) -> list[Result]:
    rate = statistics.median(count / one["seconds"] for one in closed)
    note = f"{rate:.0f} orders a second with a durable journal at {AT_ONCE} at once; server, exchange and callers share the machine"
    cpu, p50, p99 = (
        tuple(one[name] for one in runs) for name, runs in (("cpu_ms", closed), ("p50_ms", alone), ("p99_ms", closed))
    )
    return [
        Result("G13", "place + ack, share", "exchange client", tuple(ratios), SHARE, note=note),
        Result("G13b", "order server's CPU per order", "", cpu, CPU_MS, unit=" ms"),
        Result("G13c", "place + ack alone, p50", "", p50, ALONE_MS, unit=" ms"),
        Result("G13d", f"place + ack, {AT_ONCE} at once, p99", "", p99, AT_ONCE_MS, unit=" ms"),
    ]


def _storm_results(storms: Sequence[dict[str, Any]], library: Sequence[dict[str, Any]], peak: float) -> list[Result]:
    every = [*storms, *library]
    if any(set(storm["bystander"]["results"]) == {"accepted"} for storm in every):
        raise AssertionError("a caller beside the storm was never refused: nothing was overloaded")
    refused, refused_library = (
        tuple(storm["bystander"]["refused_p99_ms"] for storm in some) for some in (storms, library)
    )
    cancelled = tuple(float(storm["results"].get("CANCELLED", 0)) for storm in every)
    told = f"to a caller of {BYSTANDER_PER_S:g} a second beside the storm, from when each was due"
    return [
        Result("L06", "goodput, overloaded", "peak", _shares(storms, peak), GOODPUT, note=_storm_note(storms, peak)),
        Result("L06b", "overloaded, time to refuse, p99", "", refused, REFUSED_MS, unit=" ms", note=told),
        Result("L06c", "overloaded, calls CANCELLED", "", cancelled, CANCELLED, unit=""),
        Result(
            "L06d", "goodput, overloaded by gRPC's client", "peak", _shares(library, peak), GOODPUT,
            note=f"its client on the server's own machine: {_storm_note(library, peak)}",
        ),
        Result("L06e", "the same, time to refuse, p99", "", refused_library, REFUSED_MS, unit=" ms", note=told),
    ]  # fmt: skip


def _shares(storms: Sequence[dict[str, Any]], peak: float) -> tuple[float, ...]:
    return tuple(storm["goodput_per_s"] / peak for storm in storms)


def _storm_note(storms: Sequence[dict[str, Any]], peak: float) -> str:
    worst = {
        name: max(storm[name] for storm in storms)
        for name in ("accepted_p99_ms", "refused_p50_ms", "refused_p99_ms", "late_p99_ms")
    }
    offered, sender, server = (
        statistics.median(storm[name] for storm in storms) for name in ("offered_per_s", "cpu_share", "server_share")
    )
    results: Counter[str] = Counter()
    for storm in storms:
        results.update(storm["results"])
    answers = ", ".join(f"{number} {name}" for name, number in results.most_common())
    return (
        f"{offered:,.0f} offered a second at a peak of {peak:.0f}/s ({offered / peak:.1f}x), with {sender:.2f} of a core, {server:.2f} for "
        f"the server; p99 from when due: accepted {worst['accepted_p99_ms']:,.0f} ms, refused {worst['refused_p99_ms']:,.0f} ms (median "
        f"{worst['refused_p50_ms']:,.0f} ms), of which the sender's own lateness {worst['late_p99_ms']:,.0f} ms; "
        f"Health p99 {max(storm['health']['p99_ms'] for storm in storms):,.0f} ms; answers: {answers}"
    )
