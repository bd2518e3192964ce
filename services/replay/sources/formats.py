"""The formats of recorded files, one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.replay.recording.records import MAGIC
from services.replay.sources.recording_file import RecordingFile
from services.replay.sources.row_reader import RawFile, RowFile
from services.replay.sources.text_file import TextFile


@dataclass(frozen=True)
class FileFormat:
    """A format, recognised by the first bytes of a file or by the end of its name."""

    open: Callable[[RawFile], RowFile]
    magic: bytes | None = None
    suffixes: tuple[str, ...] = ()

    def recognises(self, raw: RawFile) -> bool:
        """Tell whether a file is of this format."""
        if self.magic is not None and raw.head.startswith(self.magic):
            return True
        return raw.name.lower().endswith(self.suffixes)


FORMATS: Final[tuple[FileFormat, ...]] = (
    FileFormat(RecordingFile, magic=MAGIC, suffixes=(".rec", ".rec.gz")),
    FileFormat(TextFile, magic=b""),  # the last one: whatever no other format recognises
)


def open_rows(raw: RawFile) -> RowFile:
    """Return a file as the first format that recognises it understands it; raises UnusableInput."""
    return next(known for known in FORMATS if known.recognises(raw)).open(raw)
