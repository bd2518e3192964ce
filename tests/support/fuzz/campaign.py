"""Run many inputs, each made from its own number, and say of the first one that goes wrong how to make it again."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from tests.support.fuzz.mutate import Mutator
from tests.support.fuzz.target import Outcome, Target

INPUT_S_MAX: Final = 1.0
"""Processor time of one input. The timer's signal ends the process, wherever it is: a kernel would not look at a flag."""
GROWTH_BYTES_MAX: Final = 512 * 1024 * 1024
FAILED: Final = 1
_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024
_WARM_INPUTS: Final = 200
_PEAK: Final = re.compile(rb"^VmHWM:\s*(\d+) kB", re.MULTILINE)


@dataclass
class Tally:
    """What became of the inputs of one target."""

    inputs: int = 0
    with_records: int = 0
    refused: int = 0
    empty: int = 0

    def add(self, outcome: Outcome) -> None:
        self.inputs += 1
        self.with_records += outcome.records > 0
        self.refused += outcome.records == 0 and outcome.refused > 0
        self.empty += outcome.records == 0 and outcome.refused == 0


@dataclass
class Campaign:
    """A stretch of inputs, in this process."""

    seed: int
    targets: Sequence[Target]
    tallies: dict[str, Tally] = field(default_factory=dict)

    def plan(self, inputs: int) -> Iterator[tuple[Target, int]]:
        """Give every target its share of the inputs, numbered."""
        shares = sum(target.share for target in self.targets)
        for target in self.targets:
            for index in range(-(-inputs * target.share // shares)):
                yield target, index

    def run(self, inputs: int, *, progress: int, stride: int = 1, offset: int = 0) -> int:
        """Run every `stride`th input; `progress` is a file in which the current one stands, for whoever finds this process dead."""
        mutators = {target.name: Mutator(target.corpus, target.tokens) for target in self.targets}
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        base_bytes = 0
        for number, (target, index) in enumerate(self.plan(inputs)):
            if number % stride != offset:
                continue
            os.pwrite(progress, f"{target.name} {index}".ljust(64).encode(), 0)
            rng = rng_of(self.seed, target.name, index)
            payload = mutators[target.name].make(rng)
            signal.setitimer(signal.ITIMER_PROF, INPUT_S_MAX)
            try:
                outcome = target.run(payload, rng)
            except Exception:  # noqa: BLE001  (everything that a reader does not promise to raise is a finding)
                signal.setitimer(signal.ITIMER_PROF, 0)
                traceback.print_exc()
                return FAILED
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            self.tallies.setdefault(target.name, Tally()).add(outcome)
            grown = max_rss_bytes()
            if number < _WARM_INPUTS:
                base_bytes = grown
            elif grown > base_bytes + GROWTH_BYTES_MAX:
                print(f"memory grew by {(grown - base_bytes) >> 20} MiB, at the latest by this input", file=sys.stderr)
                return FAILED
        return 0


def rng_of(seed: int, target: str, index: int) -> Random:
    """Return the random numbers of one input: it is made again without those before it."""
    return Random(f"{seed}/{target}/{index}")


def payload_of(seed: int, target: Target, index: int) -> tuple[bytes, Random]:
    """Make one input again; returns the random numbers, too, of which the target draws the rest."""
    rng = rng_of(seed, target.name, index)
    return Mutator(target.corpus, target.tokens).make(rng), rng


def max_rss_bytes() -> int:
    """Return the most memory that this program ever held."""
    try:
        # What `getrusage` says on Linux may be the parent's.
        found = _PEAK.search(Path("/proc/self/status").read_bytes())
    except OSError:
        found = None
    if found is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
    return int(found[1]) * 1024


def summary(tallies: Sequence[dict[str, Tally]]) -> list[str]:
    """Return one line per target, over all processes."""
    lines = []
    for name in dict.fromkeys(name for each in tallies for name in each):
        total: Counter[str] = Counter()
        for each in tallies:
            total.update(vars(each.get(name, Tally())))
        lines.append(
            f"{name:16} {total['inputs']:>8} inputs: {total['with_records']:>7} gave records, {total['refused']:>7} were refused, "
            f"{total['empty']:>6} held nothing"
        )
    return lines
