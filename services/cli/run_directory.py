"""The output directory of one replay: what it holds, and whether a run may write into it."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from services.cli.options import ReplayOptions

LOGS = ("mid_prices.log", "errors.log")
OUTPUTS = (*LOGS, "mid_prices.csv", "report.json")
HEAD_BYTES = 65_536


class DirectoryRefused(Exception):
    """The directory holds something that this run must not touch; the message names the fix."""


@dataclass(frozen=True)
class RunDirectory:
    """DIR and, in DIR/.midstream, what is needed to continue."""

    path: Path

    @property
    def private(self) -> Path:
        return self.path / ".midstream"

    @property
    def manifest(self) -> Path:
        return self.private / "run.json"

    @property
    def server_logs(self) -> Path:
        return self.private / "logs"

    def prepare(self, options: ReplayOptions, *, resume: bool, overwrite: bool) -> None:
        """Make the directory ready for this run. Raises DirectoryRefused before anything is changed."""
        if self.path.exists() and not self.path.is_dir():
            raise DirectoryRefused(f"{self.path} is not a directory; choose another one with --out")
        wanted: dict[str, object] = {"options": options.fingerprint(), "inputs": _fingerprints(options.files)}
        held = [name for name in OUTPUTS if (self.path / name).exists()]
        if self.manifest.exists() and resume:
            self._check_same(json.loads(self.manifest.read_text()), wanted)
        elif held and not overwrite:
            raise DirectoryRefused(
                f"{self.path} already holds {held[0]}; continue it with --resume, replace it with --overwrite, "
                "or choose another directory with --out"
                if self.manifest.exists()
                else f"{self.path} already holds {held[0]} which no run of this program left; use --overwrite or another --out"
            )
        if overwrite:
            self._clear()
        self.server_logs.mkdir(parents=True, exist_ok=True)
        temporary = self.manifest.with_suffix(".tmp")
        temporary.write_text(json.dumps(wanted, indent=1))
        os.replace(temporary, self.manifest)

    def _check_same(self, before: dict[str, object], wanted: dict[str, object]) -> None:
        for part, fix in (("options", "use the same options"), ("inputs", "use the same, unchanged files")):
            if before.get(part) != wanted[part]:
                raise DirectoryRefused(
                    f"{self.path} belongs to a run with other {part} ({_difference(before.get(part), wanted[part])}); "
                    f"{fix}, or start over with --overwrite"
                )

    def _clear(self) -> None:
        for name in OUTPUTS:
            (self.path / name).unlink(missing_ok=True)
        if self.private.exists():
            shutil.rmtree(self.private)


def _difference(before: object, wanted: object) -> str:
    if isinstance(before, dict) and isinstance(wanted, dict):
        for name in {**before, **wanted}:
            if before.get(name) != wanted.get(name):
                return f"{name}: {before.get(name)!r} then, {wanted.get(name)!r} now"
    return "another list of files"


def _fingerprints(files: tuple[str, ...]) -> list[list[object]]:
    """Path as given, size, modification time and a hash of the head of every input, in rank order."""
    found: list[list[object]] = []
    for pattern in files:
        for path in [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True)):
            status = os.stat(path)
            head = b""
            if stat.S_ISREG(status.st_mode):
                try:
                    with open(path, "rb") as source:
                        head = source.read(HEAD_BYTES)
                except OSError:
                    head = b""  # the replay engine says what is wrong with it
            found.append([path, status.st_size, status.st_mtime_ns, hashlib.sha256(head).hexdigest()])
    return found
