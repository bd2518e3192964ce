"""The output directory of one replay: its contents, and the decision whether a run may write into it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.cli.options import ReplayOptions
from services.price.engine.files import FileSystem
from services.price.engine.position import PositionFile
from services.replay.sources.inputs import InputFile
from services.runtime.json_text import read_json
from services.runtime.private_files import make_private_below, private_directory, private_opener

LOGS = ("mid_prices.log", "errors.log")
PRIVATE = ".midstream"
PARTITION = re.compile(r"p[0-9]+(\.[0-9]+)?")
"""Where a price server writes the logs of one of several partitions."""
OUTPUTS = (*LOGS, "mid_prices.csv", "report.json")
LOCKS = ("run.lock", "lock")
"""In DIR/.midstream: of the command, and of the price engine. Deleting them would let a second holder in."""


class DirectoryRefused(Exception):
    """The directory holds something that this run must not touch; the message names the fix."""


@dataclass(frozen=True)
class RunDirectory:
    """DIR and, in DIR/.midstream, what is needed to continue."""

    path: Path
    partitions: int = 1
    """With several, the logs are in a directory for each: p0, p1, ..."""
    resumable: bool = True
    """Whether the command that writes here can go on where it ended."""

    @property
    def private(self) -> Path:
        return self.path / PRIVATE

    @property
    def manifest(self) -> Path:
        return self.private / "run.json"

    @property
    def server_logs(self) -> Path:
        return self.private / "logs"

    @property
    def replaced(self) -> Path:
        """What an overwriting run took the place of, until it has written something itself."""
        return self.private / "replaced"

    @contextlib.contextmanager
    def prepared(
        self,
        options: ReplayOptions,
        inputs: Sequence[InputFile],
        *,
        resume: bool,
        overwrite: bool,
        refusals: tuple[type[Exception], ...] = (),
        latencies: Sequence[str] = (),
    ) -> Iterator[None]:
        """Make the directory ready and keep it for this run alone. Raises DirectoryRefused before anything is changed.

        `latencies` tell the latency model of each input from others, where there is one.
        A run that ends with one of `refusals` before it wrote anything leaves the directory as it was, so that the same command
        without its mistake does what it should have done.
        """
        wanted: dict[str, object] = {"options": options.fingerprint(), "inputs": _fingerprints(inputs)}
        if any(latencies):
            wanted["latencies"] = list(latencies)
        self._check(wanted, resume=resume, overwrite=overwrite)
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        begins = overwrite or not self.manifest.exists()
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                make_private_below(private_directory(self.private))
                private_directory(self.server_logs)
                stack.enter_context(self._locked(LOCKS[0]))
                # Another run may have begun and ended since.
                self._check(wanted, resume=resume, overwrite=overwrite)
                if overwrite:
                    self._set_aside()
                temporary = self.manifest.with_suffix(".tmp")
                with open(temporary, "w", encoding="utf-8", opener=private_opener) as manifest:
                    json.dump(wanted, manifest, indent=1)
                os.replace(temporary, self.manifest)
            except OSError as exc:
                raise DirectoryRefused(
                    f"cannot write to {self.path} ({exc.strerror or exc}); choose another directory with --out"
                ) from exc
            try:
                yield
            except refusals as exc:
                if begins and not self.holds_output():
                    self._undo(missing, keep_logs=str(self.server_logs) in str(exc))
                elif begins:
                    # A file may show only on the way what is wrong with it.
                    self.drop_replaced()
                    exc.add_note(f"{self.path} holds what came before that, replace it with --overwrite")
                raise
            self.drop_replaced()

    def holds_output(self) -> bool:
        """Tell whether a line was written."""
        paths = (place / name for place in (self.path, *self._of_partitions()) for name in LOGS)
        return any(path.exists() and path.stat().st_size for path in paths)

    def drop_replaced(self) -> None:
        """Let go of what this run took the place of."""
        shutil.rmtree(self.replaced, ignore_errors=True)

    def committed_epoch(self) -> str:
        """Return the numbering that the logs here follow; empty when nothing is committed. Raises StartRefused when nobody can tell."""
        files = PositionFile(self.private / "position", FileSystem())
        files.close()
        return files.position.epoch if files.position is not None else ""

    def _check(self, wanted: dict[str, object], *, resume: bool, overwrite: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise DirectoryRefused(f"{self.path} is not a directory; choose another one with --out")
        held = [path.name for path in self._outputs()]
        go_on = "continue it with --resume, " if self.resumable else ""
        if self.manifest.exists() and resume:
            self._check_same(self._read_manifest(), wanted)
        elif held and not overwrite:
            raise DirectoryRefused(
                f"{self.path} already holds {held[0]}; {go_on}replace it with --overwrite, "
                "or choose another directory with --out"
                if self.manifest.exists()
                else f"{self.path} already holds {held[0]} which no run of this program left; use --overwrite or another --out"
            )

    def _read_manifest(self) -> dict[str, object]:
        try:
            found = read_json(self.manifest.read_text())
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise DirectoryRefused(
                f"{self.manifest} cannot be read, so nothing can be continued; start over with --overwrite"
            )
        return found

    @contextlib.contextmanager
    def _locked(self, name: str, *, place: Path | None = None) -> Iterator[None]:
        """Hold a lock file, of this directory or of one in it; the kernel frees it when its holder dies."""
        with open((place or self.path) / PRIVATE / name, "a", opener=private_opener) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A run that was refused takes its lock away: then this one locks nobody out.
                if os.fstat(lock.fileno()).st_nlink == 0:
                    raise BlockingIOError
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
        if before.get("latencies") != wanted.get("latencies"):
            raise DirectoryRefused(
                f"{self.path} belongs to a run whose latency models drew from other latencies: a file that they name has changed; "
                "use the same, unchanged file, or start over with --overwrite"
            )

    def _set_aside(self) -> None:
        """Move everything but the locks out of the way."""
        with contextlib.ExitStack() as stack:
            for place in (self.path, *self._of_partitions()):
                stack.enter_context(self._locked(LOCKS[1], place=place))
            self.drop_replaced()
            private_directory(self.replaced)
            for path in self._contents():
                path.rename(self.replaced / path.name)
            private_directory(self.server_logs)

    def _undo(self, missing: Sequence[Path], *, keep_logs: bool) -> None:
        """Take away what this run made, and put back what it had set aside."""
        with contextlib.suppress(OSError), self._locked(LOCKS[1]):
            for path in self._contents():
                if path != self.server_logs or not keep_logs:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            if self.replaced.exists():
                for path in self.replaced.iterdir():
                    is_output = path.name in OUTPUTS or PARTITION.fullmatch(path.name)
                    path.replace((self.path if is_output else self.private) / path.name)
                self.replaced.rmdir()
                return
        # A lock is only taken away where nothing else is left; whoever waits for it looks whether it is still the one.
        if not self._contents():
            with contextlib.suppress(OSError):
                for name in LOCKS:
                    (self.private / name).unlink(missing_ok=True)
                self.private.rmdir()
                for path in missing:
                    path.rmdir()

    def _contents(self) -> list[Path]:
        """Everything that belongs to a run, apart from the locks and what was set aside."""
        return self._outputs() + [
            path for path in self.private.iterdir() if path.name not in (*LOCKS, self.replaced.name)
        ]

    def _outputs(self) -> list[Path]:
        return [path for path in (self.path / name for name in OUTPUTS) if path.exists()] + self._of_partitions()

    def _of_partitions(self) -> list[Path]:
        """Return the directories of partitions that are there; a run of one partition has none, and leaves those of others alone."""
        if self.partitions == 1 or not self.path.is_dir():
            return []
        return sorted(
            path for path in self.path.iterdir() if PARTITION.fullmatch(path.name) and (path / PRIVATE).is_dir()
        )


def _difference(before: object, wanted: object) -> str:
    if isinstance(before, dict) and isinstance(wanted, dict):
        for name in {**before, **wanted}:
            if before.get(name) != wanted.get(name):
                return f"{name}: {before.get(name)!r} then, {wanted.get(name)!r} now"
    return _inputs_difference(_named(before), _named(wanted))


def _named(inputs: object) -> list[tuple[str, tuple[object, ...]]]:
    """Name and the rest of every input; what cannot be read has none."""
    return [(str(one[0]), tuple(one[1:])) for one in inputs if one] if isinstance(inputs, list) else []


def _inputs_difference(
    before: list[tuple[str, tuple[object, ...]]], wanted: list[tuple[str, tuple[object, ...]]]
) -> str:
    then, now = [name for name, _ in before], [name for name, _ in wanted]
    if then == now:
        changed = [(name, old, new) for (name, old), (_, new) in zip(before, wanted, strict=True) if old != new]
        name, old, new = changed[0]
        more = f", and {len(changed) - 1} more changed" if len(changed) > 1 else ""
        return f"{name} changed: {_change(old, new)}{more}"
    gone, added = [name for name in then if name not in now], [name for name in now if name not in then]
    parts = [f"{gone[0]} was one of {len(then)} then and is not named now" if gone else ""]
    parts.append(f"{added[0]} was not among them then" if added else "")
    return "; ".join(part for part in parts if part) or "the files come in another order, which decides ties"


def _change(old: tuple[object, ...], new: tuple[object, ...]) -> str:
    (old_size, old_ns, old_head), (new_size, new_ns, new_head) = old, new
    if old_size != new_size:
        return f"it had {old_size:,} bytes then and has {new_size:,} now"
    if old_head != new_head:
        return "it begins with something else now"
    return f"it was written at {_second(old_ns)} then and at {_second(new_ns)} now"


def _second(time_ns: object) -> str:
    return f"{datetime.fromtimestamp(int(str(time_ns)) / 1e9, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def _fingerprints(inputs: Sequence[InputFile]) -> list[list[object]]:
    """Path as given, size, modification time and a hash of the head of every input, in rank order."""
    return [[one.name, one.size, one.mtime_ns, one.head_digest] for one in inputs]
