"""What a private Redis left in its directory: which engine wrote it, whether another one may open it, and what to do with damage."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from services.runtime.errors import StartRefused
from services.runtime.private_files import private_opener
from services.runtime.redis_binary import Engine

ENGINE_FILE: Final = "engine.json"
"""Beside the data: which engine opened it last."""

_OLD_FILE: Final = "appendonly.aof"
"""Where a Redis before 7 keeps everything. Later ones move it into the folder, once."""

_FOLDER: Final = "appendonlydir"
_MANIFEST: Final = "appendonly.aof.manifest"
_AUXILIARY: Final = 0xFA
"""Begins a name and its text in a snapshot; the first one is the version of its writer."""

_BRANCHED_AT: Final = (7, 2)
"""Valkey began as Redis 7.2. Later versions of the two do not read each other's files."""

_VALKEY_LEFT_AT: Final = (9, 0)
"""The first Valkey with a format of its own."""


@dataclass(frozen=True)
class Writer:
    """An engine that wrote data."""

    name: str
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


@dataclass(frozen=True)
class AppendOnly:
    """The append-only files of a directory, as they lie there."""

    directory: Path
    old: bool
    """There is the single file of a Redis before 7."""
    base: Path | None
    """The snapshot that the manifest begins with."""
    tail: Path | None
    """The file that is appended to."""
    tail_bytes: int
    """Its size; 0 without any."""
    orphans: bool
    """There are files, but no manifest that names them: an engine begins with nothing then."""

    @classmethod
    def read(cls, directory: Path) -> AppendOnly:
        """Look at a directory; nothing is opened that is not small."""
        folder = directory / _FOLDER
        old = (directory / _OLD_FILE).is_file()
        try:
            manifest = (folder / _MANIFEST).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return cls(directory, old, None, None, 0, orphans=any(folder.glob("*.aof")) or any(folder.glob("*.rdb")))
        named: dict[str, Path] = {}
        for line in manifest.splitlines():
            words = line.split()
            fields = dict(zip(words[::2], words[1::2], strict=False))
            named[fields.get("type", "")] = folder / fields.get("file", "")
        tail = named.get("i")
        size = tail.stat().st_size if tail is not None and tail.exists() else 0
        return cls(directory, old, named.get("b"), tail, size, orphans=False)

    @property
    def writer(self) -> Writer | None:
        """Who wrote the snapshot; None without one, or when it does not say."""
        if self.base is None:
            return None
        try:
            with self.base.open("rb") as snapshot:
                return _signed(snapshot.read(64))
        except FileNotFoundError:
            return None

    @property
    def both(self) -> bool:
        """Whether a Redis before 7 wrote its file again after another engine had moved the first one into the folder."""
        if not self.old or self.base is None:
            return False
        # Without it, the file is about to be moved: an engine died in the midst of that, and the next one goes on.
        return self.base.name != _OLD_FILE or self.base.exists()


def admit(engine: Engine, directory: Path) -> AppendOnly:
    """Return what lies there; raise StartRefused when `engine` would not find, or not understand, all of it."""
    found = AppendOnly.read(directory)
    if found.orphans:
        raise StartRefused(
            f"{directory / _FOLDER} has lost its {_MANIFEST}, and without that every Redis takes it for empty: "
            "put the file back, move the folder away to begin with nothing, or choose another MIDSTREAM_OUT"
        )
    for writer in filter(None, (_read_record(directory / ENGINE_FILE), found.writer)):
        if not _reads(engine, writer):
            raise StartRefused(
                f"{directory} was written by {writer.text}, which {engine.text} ({engine.path}) does not read: "
                f"use {writer.text} or a newer {writer.name}, or choose another MIDSTREAM_OUT"
            )
    if found.both:
        raise StartRefused(
            f"{directory} holds two histories: {_FOLDER}, which {engine.text} reads, and {_OLD_FILE}, which a Redis before 7 "
            f"wrote beside it later; move away the one that does not count (without {_OLD_FILE} it goes on with the former), "
            "or choose another MIDSTREAM_OUT"
        )
    return found


def record(engine: Engine, directory: Path) -> None:
    """Write beside the data which engine opens it. The file is replaced as a whole, so that it is never half written."""
    path = directory / ENGINE_FILE
    writer = Writer(engine.name, engine.version)
    if _read_record(path) == writer:
        return
    unfinished = path.with_suffix(".new")
    with open(unfinished, "w", encoding="utf-8", opener=private_opener) as file:
        file.write(json.dumps(asdict(writer)) + "\n")
    unfinished.replace(path)


def notes(before: AppendOnly) -> tuple[str, ...]:
    """Say what the engine changed when it opened what was there before; to be asked before anybody writes."""
    after = AppendOnly.read(before.directory)
    said = []
    if before.old and not after.old:
        said.append(f"the queue of a Redis before 7 was taken over: {before.directory / _OLD_FILE} is in {_FOLDER} now")
    cut = before.tail_bytes - after.tail_bytes
    if before.tail is not None and before.tail == after.tail and cut > 0:
        said.append(
            f"the queue's file ended in the midst of an entry, as it does when a machine stops: its last {cut} bytes were cut "
            f"off, all before them is there ({before.tail})"
        )
    return tuple(said)


def ways_on(engine: Engine, directory: Path) -> str:
    """Say how to go on with files that `engine` cannot read: it is its own repair tool, under another name."""
    found = AppendOnly.read(directory)
    if found.writer is None and found.tail is None:
        return ""
    begin_anew = (
        f"`mv {shlex.quote(str(directory / _FOLDER))} {shlex.quote(str(directory / _FOLDER))}.damaged` goes on without it: "
        "history is read again, live ticks and settings that only the queue had are lost"
    )
    if found.tail is None or not found.tail_bytes:
        return f" If its files are damaged: {begin_anew}."
    tool = f"exec -a {engine.name}-check-aof {shlex.quote(str(engine.path))} --fix {shlex.quote(str(found.tail))}"
    return (
        f" If its files are damaged, copy {directory} first. Then `({tool})` in bash keeps everything before the damage; "
        f"or {begin_anew}."
    )


def _reads(engine: Engine, writer: Writer) -> bool:
    if engine.name == writer.name:
        # Patch releases share their files; a minor release may bring a new format.
        return engine.version[:2] >= writer.version[:2]
    if writer.name == "valkey":
        return writer.version[:2] < _VALKEY_LEFT_AT and engine.version[:2] >= _BRANCHED_AT
    return writer.version[:2] <= _BRANCHED_AT


def _signed(head: bytes) -> Writer | None:
    """Read the writer from the beginning of a snapshot: `REDIS` or `VALKEY` and a number, nine bytes, then its version."""
    if len(head) < 12 or head[9] != _AUXILIARY:
        return None
    name_end = 11 + head[10]
    name = head[11:name_end].decode("ascii", "replace")
    version = head[name_end + 1 : name_end + 1 + head[name_end]] if name_end < len(head) else b""
    parts = version.decode("ascii", "replace").split(".")
    if not name.endswith("-ver") or len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    major, minor, patch = map(int, parts)
    return Writer(name.removesuffix("-ver"), (major, minor, patch))


def _read_record(path: Path) -> Writer | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        major, minor, patch = (int(part) for part in found["version"])
        return Writer(str(found["name"]), (major, minor, patch))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise StartRefused(
            f"{path} does not say which Redis wrote this directory ({exc!r}); remove it if you know"
        ) from exc
