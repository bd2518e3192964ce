"""Give mutated inputs to everything that reads bytes of others: `python -m tests.support.fuzz [--inputs N] [--seed S]`.

Exit code 1 names the input that crashed, hung, took memory or raised what nobody promised, and the command that makes it again.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from random import SystemRandom

from tests.support.fuzz.campaign import INPUT_S_MAX, Campaign, Tally, payload_of, summary
from tests.support.fuzz.input_targets import input_targets
from tests.support.fuzz.kernel_targets import kernel_targets
from tests.support.fuzz.target import Target

_PROCESS_S_MAX = 3600.0


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    targets = [each for each in all_targets() if options.only in ("", each.name)]
    if not targets:
        print(
            f"no target {options.only!r}; there are: {', '.join(each.name for each in all_targets())}", file=sys.stderr
        )
        return 2
    if options.input is not None:
        return _again(targets[0], options.seed, options.input)
    if options.child:
        return _child(targets, options)
    return _parent(options)


def all_targets() -> list[Target]:
    """Return every target."""
    return [*kernel_targets(), *input_targets()]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument(
        "--seed", type=int, default=SystemRandom().randrange(1 << 32), help="printed; random unless given"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default="", help="one target")
    parser.add_argument("--input", type=int, help="with --only and --seed: this input alone")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _parent(options: argparse.Namespace) -> int:
    print(f"fuzzing: seed {options.seed}, {options.inputs} inputs", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [Path(folder) / f"{number}" for number in range(options.jobs)]
        children = []
        for number, job in enumerate(jobs):
            job.touch()
            command = [sys.executable, "-P", "-m", "tests.support.fuzz", "--child", f"{number}/{options.jobs}/{job}"]
            command += ["--seed", str(options.seed), "--inputs", str(options.inputs), "--only", options.only]
            children.append(subprocess.Popen(command))
        codes = []
        try:
            codes = [child.wait(timeout=_PROCESS_S_MAX) for child in children]
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                    child.wait()
        failed = [_describe(code, job, options.seed) for code, job in zip(codes, jobs, strict=True) if code != 0]
        if failed:
            print("\n".join(failed), file=sys.stderr)
            return 1
        found = [
            {name: Tally(**each) for name, each in json.loads(job.with_suffix(".json").read_text()).items()}
            for job in jobs
        ]
    print("\n".join(summary(found)))
    print("no crash, no hang, no growth, nothing unexpected")
    return 0


def _child(targets: list[Target], options: argparse.Namespace) -> int:
    offset, stride, place = options.child.split("/", 2)
    job = Path(place)
    # What the readers log about each bad input is right, and of no use here.
    logging.disable(logging.CRITICAL)
    campaign = Campaign(options.seed, targets)
    with job.open("r+b") as progress:
        code = campaign.run(options.inputs, progress=progress.fileno(), stride=int(stride), offset=int(offset))
    job.with_suffix(".json").write_text(json.dumps({name: asdict(each) for name, each in campaign.tallies.items()}))
    return code


def _again(target: Target, seed: int, index: int) -> int:
    payload, rng = payload_of(seed, target, index)
    print(f"{len(payload)} bytes: {payload[:2000]!r}", flush=True)
    signal.setitimer(signal.ITIMER_PROF, INPUT_S_MAX)
    try:
        print(target.run(payload, rng))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return 0


def _describe(code: int, job: Path, seed: int) -> str:
    name, _, index = job.read_text().strip().partition(" ")
    how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
    if code == -signal.SIGPROF:
        how = f"took more than {INPUT_S_MAX:g} s"
    again = f"python -m tests.support.fuzz --seed {seed} --only {name} --input {index}"
    return f"{name}, input {index}: {how}. Again: {again}"


if __name__ == "__main__":
    raise SystemExit(main())
