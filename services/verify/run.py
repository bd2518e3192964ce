"""A run as its directory describes it: what was asked for, what was read, and what it claims."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from services.verify.latency import Model, UnknownModel, models_of
from services.verify.reading import AFTER_EVERYTHING, BEFORE_EVERYTHING, ReadOptions
from services.verify.sources import latencies
from services.verify.values import Unusable, time_of

HEAD_BYTES = 64 * 1024
COUNTS = ("rows_in", "mids", "latency_filtered", "missing_side", "rejected", "skipped", "crossed", "locked")


class NotVerifiable(Exception):
    """Nothing can be said about the run; the text says why, and what to do."""


@dataclass(frozen=True)
class Input:
    """One file as the run opened it."""

    name: str
    size: int
    mtime_ns: int
    head_digest: str


@dataclass(frozen=True)
class Claims:
    """What report.json says."""

    path: Path
    digest: str
    digest_version: int
    complete: bool
    damaged_sources: int
    counts: dict[str, int]
    every: int
    """Records between two proofs; 0: the run kept none."""
    proofs: tuple[str, ...]
    """Digests after `every` records, after twice as many, and so on."""
    sources: tuple[dict[str, Any], ...]
    """Lines that were read of each source, and what became of them; none: an earlier release did not count."""


@dataclass(frozen=True)
class Run:
    """Everything that a verification needs."""

    directory: Path
    inputs: tuple[Input, ...]
    options: ReadOptions
    threshold_ns: int
    log_arrival: bool
    with_csv: bool
    latency: tuple[str, ...]
    """Latency models, as they were asked for."""
    latency_digests: tuple[str, ...]
    """Of the model of each source, empty for none; an empty tuple: no source had one."""
    claims: Claims


def read_claims(path: Path) -> Claims:
    """Read a report.json, or the one of a directory. Raises NotVerifiable."""
    report = path / "report.json" if path.is_dir() else path
    fields = _object(
        report,
        f"{path} holds no report.json that can be read; name the --out directory of a finished `midstream replay`",
    )
    try:
        proofs = fields.get("order_proofs") or {}
        return Claims(
            path=report,
            digest=str(fields["order_digest"]),
            digest_version=int(fields["order_digest_version"]),
            complete=bool(fields["complete"]),
            damaged_sources=int(fields.get("damaged_sources") or 0),
            counts={name: int(fields[name]) for name in COUNTS},
            every=int(proofs.get("every") or 0),
            proofs=tuple(str(digest) for digest in proofs.get("digests") or ()),
            sources=tuple(dict(source) for source in fields.get("sources") or ()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotVerifiable(f"{report} is no report of this program ({error!r}); run the replay again") from error


def read_run(directory: Path) -> Run:
    """Read what a run left, and check that it can be verified. Raises NotVerifiable."""
    claims = read_claims(directory)
    if not claims.complete:
        raise NotVerifiable(
            f"the run in {directory} did not come to its end; finish it with `midstream replay --resume` first"
        )
    if claims.damaged_sources:
        raise NotVerifiable(
            f"{claims.damaged_sources} of its files are damaged, and how far a damaged file is believed is not recomputed here; "
            "get the files again and replay them"
        )
    if claims.digest_version not in (1, 2):
        raise NotVerifiable(
            f"its order digest is of version {claims.digest_version}, which is not known here; use a newer Midstream"
        )
    manifest = directory / ".midstream" / "run.json"
    fields = _object(
        manifest,
        f"{manifest} cannot be read, so what the run was asked for is not known; replay again with --overwrite",
    )
    try:
        options = fields["options"]
        return Run(
            directory=directory,
            inputs=tuple(
                Input(str(name), int(size), int(mtime), str(head)) for name, size, mtime, head in fields["inputs"]
            ),
            options=_read_options(options),
            threshold_ns=_nanoseconds(options["latency_threshold_ms"]),
            log_arrival=options["log_timestamp"] == "arrival",
            with_csv=bool(options["mids_csv"]),
            latency=tuple(str(entry) for entry in options.get("latency") or ()),
            latency_digests=tuple(str(digest) for digest in fields.get("latencies") or ()),
            claims=claims,
        )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise NotVerifiable(f"{manifest} cannot be understood ({error!r}); replay again with --overwrite") from error


def check_inputs(run: Run) -> tuple[str, ...]:
    """Check that the files are those that were read; return what is odd and harmless. Raises NotVerifiable."""
    notes = []
    for one in run.inputs:
        try:
            status = os.stat(one.name)
            with open(one.name, "rb") as file:
                head = hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()
        except FileNotFoundError as error:
            where = (
                ""
                if os.path.isabs(one.name)
                else f" in {Path.cwd()}, where relative names start; go to where the replay was started"
            )
            raise NotVerifiable(f"{one.name}, which was replayed, is not there{where}") from error
        except OSError as error:
            raise NotVerifiable(f"{one.name} cannot be read: {error.strerror or error}") from error
        if status.st_size != one.size:
            raise NotVerifiable(
                f"{one.name} changed since: it had {one.size:,} bytes and has {status.st_size:,} now; replay it again"
            )
        if head != one.head_digest:
            raise NotVerifiable(f"{one.name} changed since: it begins with something else; replay it again")
        if status.st_mtime_ns != one.mtime_ns:
            notes.append(f"{one.name} was written at another time than the one that was replayed, with as many bytes")
    return tuple(notes)


def read_models(run: Run) -> tuple[Model | None, ...]:
    """Return the latency model of each file; None: its rows arrive as it says. Raises NotVerifiable, and Unreadable."""
    names = [one.name for one in run.inputs]
    try:
        models = models_of(run.latency, names, latencies)
    except UnknownModel as error:
        raise NotVerifiable(f"{error}; use a newer Midstream, or compare two such runs with --against") from error
    digests = tuple("" if model is None else model.digest for model in models)
    for name, digest, before in zip(names, digests, run.latency_digests or digests, strict=True):
        if digest != before:
            raise NotVerifiable(
                f"the latency model of {name} ({', '.join(run.latency)}) is another one now: a file that it draws from has changed; "
                "get that again, or replay again"
            )
    return models


def _read_options(options: dict[str, Any]) -> ReadOptions:
    fraction_unit_us = options["fraction_unit"] == "us"
    policy = options["negative_latency"]
    if policy not in ("keep", "clamp", "shift"):
        raise NotVerifiable(
            f"what the run did with negative latencies ({policy!r}) is not known here; use a newer Midstream"
        )
    # `unsorted` decides whether a run comes to its end, and not what comes out of it.
    lowest = str(options["min_latency_ms"] or "").strip()
    return ReadOptions(
        fraction_unit_us=fraction_unit_us,
        negative_latency=policy,
        start_ns=_time(options["start"], BEFORE_EVERYTHING, fraction_unit_us),
        end_ns=_time(options["end"], AFTER_EVERYTHING, fraction_unit_us),
        tickers=frozenset(str(name) for name in options["tickers"]),
        min_latency_ns=math.floor(float(lowest) * 1e6) if lowest else None,
    )


def _time(text: str, unbounded: int, fraction_unit_us: bool) -> int:
    try:
        return time_of("time", text.encode(), fraction_unit_us) if text else unbounded
    except Unusable as error:
        raise ValueError(str(error)) from error


def _nanoseconds(milliseconds: str) -> int:
    return int(Decimal(str(milliseconds).strip()) * 1_000_000)


def _object(path: Path, problem: str) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotVerifiable(problem) from error
    if not isinstance(fields, dict):
        raise NotVerifiable(problem)
    return fields
