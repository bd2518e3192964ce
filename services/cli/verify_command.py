"""`midstream verify`: recompute a run from its inputs, or hold two runs against each other."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from services.cli.output import ExitCode, fail
from services.cli.terminal import say, write
from services.verify.checking import Block, check
from services.verify.comparing import compare
from services.verify.reading import Unreadable
from services.verify.run import NotVerifiable, check_inputs, read_run

DIFFERENCES_SHOWN = 8


def run_verify(directory: Path, against: str, *, as_json: bool) -> int:
    """Verify and return the exit code: 0, 1 when something differs, 2 when nothing can be said."""
    try:
        return _compare(directory, against, as_json=as_json) if against else _verify(directory, as_json=as_json)
    except (NotVerifiable, Unreadable) as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json, command="midstream verify")
    except OSError as exc:
        # Of the files it reads each says so itself: what is left is where the sorted runs lie.
        reason = f"{tempfile.gettempdir()}: {exc.strerror or exc}; make room there, or name another folder in TMPDIR"
        return fail(f"rows cannot be sorted in {reason}", ExitCode.FAILED, as_json=as_json, command="midstream verify")


def _verify(directory: Path, *, as_json: bool) -> int:
    run = read_run(directory)
    notes = check_inputs(run)
    for note in notes:
        say(f"midstream verify: {note}")
    blocks: list[Block] = []

    def on_block(block: Block) -> None:
        if as_json:
            blocks.append(block)
            return
        right = "OK" if block.is_proven else "OK, by its lines alone"
        write(f"records {block.first:,} to {block.last:,}: {'DIFFERS' if block.difference else right}   {block.digest}")

    verdict = check(run, on_block)
    is_right = not verdict.differences
    if as_json:
        write(
            json.dumps({"ok": is_right, **asdict(verdict), "notes": notes, "blocks": [asdict(one) for one in blocks]})
        )
        return ExitCode.COMPLETE if is_right else ExitCode.FAILED
    if is_right:
        write(f"{verdict.records:,} records are what {directory} says: {verdict.digest}")
        return ExitCode.COMPLETE
    for difference in verdict.differences[:DIFFERENCES_SHOWN]:
        say(f"midstream verify: {difference}")
    return ExitCode.FAILED


def _compare(directory: Path, against: str, *, as_json: bool) -> int:
    comparison = compare(directory, against)
    write(json.dumps(asdict(comparison)) if as_json else comparison.text)
    return ExitCode.COMPLETE if comparison.is_same else ExitCode.FAILED
