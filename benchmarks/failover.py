"""What a failover costs whoever waits for live ticks: a discrete-event simulation of machines, partitions and their readers.

Every partition makes a batch at fixed times. Its machine serves one batch after the other on as many cores as it has, a partition's own in
their order, and a reader has it a hop later. One machine dies; `outage_s` later its partitions go on at the others, with all that has
come meanwhile. What is on a core when its machine dies is taken for done: a batch more or less.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final

SEED: Final = 15


@dataclass(frozen=True)
class Case:
    """One run."""

    busy: float
    """What part of its cores' time a machine works while all live."""
    outage_s: float = 0.0
    """From the death of a machine until its partitions go on; 0 is no death."""
    machines: int = 4
    partitions: int = 12
    cores: int = 2
    batch_s: float = 0.05
    hop_s: float = 0.0005
    dies_s: float = 10.0
    ends_s: float = 90.0
    seed: int = SEED


@dataclass(frozen=True)
class Outcome:
    """What became of it; times from when a batch was due until its reader had it."""

    delay_ms_p50: float
    delay_ms_p99: float
    delay_ms_max: float
    backlog_batches_max: int
    recovery_s: float
    """From when the partitions went on until nothing was late any more; 0 where nothing died."""


@dataclass
class _Machine:
    cores_free: int
    ready: deque[int] = field(default_factory=deque)
    """Partitions with batches that wait for a core, in the order in which they came."""


class _Run:
    """Events in the order of their times: a batch is due, a batch is done, partitions move."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._random = random.Random(case.seed)
        self._machines = [_Machine(case.cores) for _ in range(case.machines)]
        self._home = [number % case.machines for number in range(case.partitions)]
        self._waiting: list[deque[float]] = [deque() for _ in range(case.partitions)]
        self._served = [False] * case.partitions
        self._down: set[int] = set()
        self._events: list[tuple[float, int, str, int, float]] = []
        self._count = 0
        per_machine = case.partitions / case.machines
        self._service_s = case.busy * case.cores * case.batch_s / per_machine
        self.delays: list[tuple[float, float]] = []
        self.backlog_max = 0

    def _at(self, time_s: float, what: str, partition: int, due_s: float = 0.0) -> None:
        self._count += 1
        heapq.heappush(self._events, (time_s, self._count, what, partition, due_s))

    def run(self) -> None:
        case = self.case
        for partition in range(case.partitions):
            self._at(self._random.uniform(0, case.batch_s), "due", partition)
        if case.outage_s:
            self._at(case.dies_s, "dies", 0)
            self._at(case.dies_s + case.outage_s, "moves", 0)
        while self._events:
            now_s, _, what, number, due_s = heapq.heappop(self._events)
            if what == "due":
                self._waiting[number].append(now_s)
                if now_s + case.batch_s < case.ends_s:
                    self._at(now_s + case.batch_s, "due", number)
                self._offer(number, now_s)
            elif what == "done":
                self.delays.append((due_s, now_s + case.hop_s - due_s))
                self._served[number] = False
                self._machines[self._home[number]].cores_free += 1
                self._offer(number, now_s)
                self._start(self._home[number], now_s)
            elif what == "dies":
                self._down.add(0)
            else:
                self._move(now_s)
            self.backlog_max = max(self.backlog_max, sum(map(len, self._waiting)) if what == "moves" else 0)

    def _move(self, now_s: float) -> None:
        moved = [partition for partition, machine in enumerate(self._home) if machine in self._down]
        for turn, partition in enumerate(moved):
            self._home[partition] = 1 + turn % (self.case.machines - 1)
            self._offer(partition, now_s)

    def _offer(self, partition: int, now_s: float) -> None:
        machine = self._home[partition]
        ready = self._machines[machine].ready
        if self._waiting[partition] and not self._served[partition] and partition not in ready:
            ready.append(partition)
            self._start(machine, now_s)

    def _start(self, number: int, now_s: float) -> None:
        machine = self._machines[number]
        while machine.cores_free and machine.ready and number not in self._down:
            partition = machine.ready.popleft()
            due_s = self._waiting[partition].popleft()
            machine.cores_free -= 1
            self._served[partition] = True
            # Batches differ in size: the service time does, by half of it either way.
            self._at(now_s + self._service_s * self._random.uniform(0.5, 1.5), "done", partition, due_s)


def simulate(case: Case) -> Outcome:
    """Run one case to its end."""
    run = _Run(case)
    run.run()
    delays = sorted(delay for _, delay in run.delays)
    usual_s = max((delay for due_s, delay in run.delays if due_s < case.dies_s - 1), default=0.0)
    went_on_s = case.dies_s + case.outage_s
    late = [due_s + delay for due_s, delay in run.delays if due_s >= case.dies_s - 1 and delay > usual_s + case.batch_s]
    return Outcome(
        delay_ms_p50=delays[len(delays) // 2] * 1e3,
        delay_ms_p99=delays[len(delays) * 99 // 100] * 1e3,
        delay_ms_max=delays[-1] * 1e3,
        backlog_batches_max=run.backlog_max,
        recovery_s=max(0.0, max(late, default=went_on_s) - went_on_s) if case.outage_s else 0.0,
    )


def fluid_recovery_s(case: Case) -> float:
    """Return the least it can be: what waits on a machine that took over, by what that has to spare.

    A partition uses one core at a time. That it waits for one, beside those that are not late, is not in it.
    """
    taken = case.partitions / case.machines / (case.machines - 1)
    per_machine = case.partitions / case.machines
    work = case.busy * case.cores / per_machine
    """Cores that a partition needs."""
    spare = min(case.cores - work * (per_machine + taken), taken * (1 - work))
    return taken * work * case.outage_s / spare if spare > 0 else float("inf")
