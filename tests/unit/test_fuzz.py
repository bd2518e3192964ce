"""The campaign of mutated inputs: it runs, it can be run again, and it tells what it is there to find."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from random import SystemRandom

import pytest

from tests.support.fuzz import __main__ as program
from tests.support.fuzz.campaign import Campaign, payload_of
from tests.support.fuzz.target import READ, Outcome, Target
from tests.support.imports import ROOT

CHILD = """
import sys, os, tempfile
from tests.support.fuzz import campaign
from tests.support.fuzz.campaign import Campaign
from tests.support.fuzz.target import READ, Target
campaign.GROWTH_BYTES_MAX = 64 << 20
held = []
def run(payload, rng):
{body}
    return READ
with tempfile.TemporaryFile() as progress:
    code = Campaign(5, [Target("planted", [b"good"], run)]).run(600, progress=progress.fileno())
    progress.seek(0)
    print(progress.read().decode().strip())
sys.exit(code)
"""


def planted(body: str) -> subprocess.CompletedProcess[str]:
    program = CHILD.format(body=f"    {body}")
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_thousand_inputs_do_nothing_unexpected(capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--inputs", "1000", "--seed", "11", "--jobs", "1"]) == 0

    said = capfd.readouterr().out
    assert "seed 11" in said
    for target in program.all_targets():
        assert f"\n{target.name} " in said


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_million_inputs_do_nothing_unexpected() -> None:
    assert program.main(["--inputs", "1000000", "--seed", str(SystemRandom().randrange(1 << 32))]) == 0


def test_an_input_is_made_again_from_its_number(tmp_path: Path) -> None:
    seen: list[tuple[bytes, float]] = []

    def run(payload: bytes, rng: object) -> Outcome:
        seen.append((payload, rng.random()))  # type: ignore[attr-defined]
        return READ

    target = Target("one", [b'{"a": 12, "b": [1, 2]}', b"other"], run, (b"null",))
    with (tmp_path / "progress").open("w+b") as progress:
        assert Campaign(9, [target]).run(50, progress=progress.fileno()) == 0

    payload, rng = payload_of(9, target, 31)
    assert (payload, rng.random()) == seen[31]
    assert len({each for each, _ in seen}) > 40


def test_processes_share_the_inputs_and_leave_none_out(tmp_path: Path) -> None:
    counted = []
    with (tmp_path / "progress").open("w+b") as progress:
        for offset in range(3):
            campaign = Campaign(9, [Target("one", [b"a"], lambda payload, rng: READ, share=2)])
            campaign.run(100, progress=progress.fileno(), stride=3, offset=offset)
            counted.append(campaign.tallies["one"].inputs)

    assert counted == [34, 33, 33]


@pytest.mark.parametrize(
    ("body", "code", "trace"),
    [
        ("if payload != b'good': raise KeyError('state')", 1, "KeyError: 'state'"),
        ("if payload != b'good': os.abort()", -signal.SIGABRT, ""),
        ("while payload != b'good': pass", -signal.SIGPROF, ""),
        ("held.append(b'x' * (80 << 20) if len(held) == 300 else 0)", 1, "memory grew by"),
    ],
    ids=["an error nobody promised", "a crash", "a hang", "memory"],
)
def test_what_goes_wrong_is_told(body: str, code: int, trace: str) -> None:
    done = planted(body)

    assert done.returncode == code, done.stderr
    assert trace in done.stderr


def test_the_input_that_went_wrong_is_named_with_the_command_that_makes_it_again(tmp_path: Path) -> None:
    job = tmp_path / "0"
    job.write_text("csv 17".ljust(64))

    line = program._describe(-signal.SIGPROF, job, 5)

    assert line == (
        "csv, input 17: took more than 1 s. Again: python -m tests.support.fuzz --seed 5 --only csv --input 17"
    )
    assert "signal SIGSEGV" in program._describe(-signal.SIGSEGV, job, 5)


def test_one_input_alone_says_what_it_is_and_what_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--seed", "5", "--only", "values", "--input", "3"]) == 0

    assert "Outcome(records=" in capsys.readouterr().out
    assert program.main(["--only", "nothing"]) == 2


def test_the_sanitizers_get_the_campaign_too() -> None:
    assert "-m tests.support.fuzz --inputs" in (ROOT / "tests" / "sanitize.sh").read_text(encoding="utf-8")
