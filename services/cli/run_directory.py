"""The output directory of one replay: its contents, and the decision whether a run may write into it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.options import ReplayOptions
from services.price.engine.files import FileSystem
from services.price.engine.position import PositionFile
from services.replay.sources.inputs import InputFile

LOGS = ("mid_prices.log", "errors.log")
OUTPUTS = (*LOGS, "mid_prices.csv", "report.json")
LOCKS = ("run.lock", "lock")
"""In DIR/.midstream: of the command, and of the price engine. Deleting them would let a second holder in."""


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

    @contextlib.contextmanager
    def prepared(
        self, options: ReplayOptions, inputs: Sequence[InputFile], *, resume: bool, overwrite: bool
    ) -> Iterator[None]:
        """Make the directory ready and keep it for this run alone. Raises DirectoryRefused before anything is changed."""
        wanted: dict[str, object] = {"options": options.fingerprint(), "inputs": _fingerprints(inputs)}
        self._check(wanted, resume=resume, overwrite=overwrite)
        with contextlib.ExitStack() as stack:
            try:
                self.server_logs.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self._locked(LOCKS[0]))
                # Another run may have begun and ended since.
                self._check(wanted, resume=resume, overwrite=overwrite)
                if overwrite:
                    self._clear()
                temporary = self.manifest.with_suffix(".tmp")
                temporary.write_text(json.dumps(wanted, indent=1))
                os.replace(temporary, self.manifest)
            except OSError as exc:
                raise DirectoryRefused(
                    f"cannot write to {self.path} ({exc.strerror or exc}); choose another directory with --out"
                ) from exc
            yield

    def committed_epoch(self) -> str:
        """Return the numbering that the logs here follow; empty when nothing is committed. Raises StartRefused when nobody can tell."""
        files = PositionFile(self.private / "position", FileSystem())
        files.close()
        return files.position.epoch if files.position is not None else ""

    def _check(self, wanted: dict[str, object], *, resume: bool, overwrite: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise DirectoryRefused(f"{self.path} is not a directory; choose another one with --out")
        held = [name for name in OUTPUTS if (self.path / name).exists()]
        if self.manifest.exists() and resume:
            self._check_same(self._read_manifest(), wanted)
        elif held and not overwrite:
            raise DirectoryRefused(
                f"{self.path} already holds {held[0]}; continue it with --resume, replace it with --overwrite, "
                "or choose another directory with --out"
                if self.manifest.exists()
                else f"{self.path} already holds {held[0]} which no run of this program left; use --overwrite or another --out"
            )

    def _read_manifest(self) -> dict[str, object]:
        try:
            found = json.loads(self.manifest.read_text())
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise DirectoryRefused(
                f"{self.manifest} cannot be read, so nothing can be continued; start over with --overwrite"
            )
        return found

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold a lock file; the kernel frees it when its holder dies."""
        with (self.private / name).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DirectoryRefused(
                    f"{self.path} is in use by another process; wait for it, or choose another directory with --out"
                ) from None
            yield

    def _check_same(self, before: dict[str, object], wanted: dict[str, object]) -> None:
        for part, fix in (("options", "use the same options"), ("inputs", "use the same, unchanged files")):
            if before.get(part) != wanted[part]:
                raise DirectoryRefused(
                    f"{self.path} belongs to a run with other {part} ({_difference(before.get(part), wanted[part])}); "
                    f"{fix}, or start over with --overwrite"
                )

    def _clear(self) -> None:
        with self._locked(LOCKS[1]):
            for name in OUTPUTS:
                (self.path / name).unlink(missing_ok=True)
            for path in self.private.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name not in LOCKS:
                    path.unlink()
            self.server_logs.mkdir()


def _difference(before: object, wanted: object) -> str:
    if isinstance(before, dict) and isinstance(wanted, dict):
        for name in {**before, **wanted}:
            if before.get(name) != wanted.get(name):
                return f"{name}: {before.get(name)!r} then, {wanted.get(name)!r} now"
    return "another list of files"


def _fingerprints(inputs: Sequence[InputFile]) -> list[list[object]]:
    """Path as given, size, modification time and a hash of the head of every input, in rank order."""
    return [[one.name, one.size, one.mtime_ns, one.head_digest] for one in inputs]
