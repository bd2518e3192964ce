"""What stands in a recording: a head, and one line per record. docs/recording.md says the same to people.

# midstream recording 1 {"source": "ws://host/feed", "segment": 1, "frames_before": 0, "latest_ns": 0}
F 1759449600000123456 1 {"timestamp": ...      frame 1 as it was received, at this time in ns UTC
B 1759449600000123999 2 eyJ0aW1lc3Rh...        the same in base64, of a frame that holds line ends
M 1759449600500000000 {"kind": "disconnected", "reason": "the connection broke"}
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from fastpath.frame import MARKER_DISCONNECTED, MARKER_GAP, MARKER_RECONNECTED
from fastpath.records import Marker

MAGIC: Final = b"# midstream recording "
VERSION: Final = 1
KINDS: Final = {MARKER_DISCONNECTED: "disconnected", MARKER_RECONNECTED: "reconnected", MARKER_GAP: "gap"}


@dataclass(frozen=True)
class Head:
    """The first line of a segment."""

    source: str
    """The feed, as live sessions name it; its rejections are called after it."""
    segment: int
    """From 1."""
    frames_before: int
    """The last number that an earlier segment may have given a frame."""
    latest_ns: int
    """No frame of an earlier segment was received later."""

    def line(self) -> bytes:
        """Spell it."""
        return MAGIC + f"{VERSION} {json.dumps(asdict(self))}\n".encode()


class NotAHead(ValueError):
    """A line is no head that this version can read; the message says why."""


def parse_head(line: bytes) -> Head:
    """Read a head back, with or without its line end; raises NotAHead."""
    version, _, fields = line.removeprefix(MAGIC).partition(b" ")
    if not line.startswith(MAGIC) or not version.isdigit():
        raise NotAHead("it does not begin as a recording does")
    if int(version) != VERSION:
        raise NotAHead(f"it is a recording of version {int(version)}, and this program reads version {VERSION}")
    try:
        found = json.loads(fields)
        head = Head(
            source=str(found["source"]),
            segment=int(found["segment"]),
            frames_before=int(found["frames_before"]),
            latest_ns=int(found["latest_ns"]),
        )
    except (ValueError, TypeError, KeyError) as exc:
        raise NotAHead("its first line is damaged") from exc
    return head


def frame_record(receive_time_ns: int, number: int, payload: bytes) -> bytes:
    """Spell a frame."""
    if b"\n" in payload:
        return b"B %d %d %s\n" % (receive_time_ns, number, base64.b64encode(payload))
    return b"F %d %d %s\n" % (receive_time_ns, number, payload)


def marker_record(marker: Marker) -> bytes:
    """Spell what the feed's marker tells."""
    told: dict[str, Any] = {"kind": KINDS[marker.kind], "reason": marker.reason}
    if marker.kind == MARKER_GAP:
        told["lost_frames"] = marker.lost_frames
    return note_record(marker.time_ns, told)


def note_record(time_ns: int, told: dict[str, Any]) -> bytes:
    """Spell what happened between two frames; `kind` says what."""
    return b"M %d %s\n" % (time_ns, json.dumps(told).encode())


@dataclass(frozen=True)
class FrameRecord:
    """Where a frame stands, without what it holds."""

    receive_time_ns: int
    number: int


def frame_of(line: bytes) -> FrameRecord | None:
    """Read the beginning of a whole line; None: it is the record of no frame."""
    parts: Sequence[bytes] = line.split(b" ", 3)
    if len(parts) != 4 or parts[0] not in (b"F", b"B") or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return FrameRecord(int(parts[1]), int(parts[2]))


def is_record(line: bytes) -> bool:
    """Tell whether a whole line is a record; base64 and JSON are not looked into."""
    return frame_of(line) is not None or (line.startswith(b"M ") and line.rstrip(b"\n").endswith(b"}"))
