"""What modes and statuses are called, for people and with --json."""

from __future__ import annotations

from typing import Final

from clients.rpc.control import HAND_OVERS, MODES
from protos.health.v1 import health_pb2 as pb

HAND_OVER_NAMES: Final[dict[int, str]] = {kind: name or "at-once" for name, kind in HAND_OVERS.items()}

MODE_NAMES: Final[dict[int, str]] = {0: "unknown", **{mode: name for name, mode in MODES.items()}}

STATUS_NAMES: Final[dict[int, str]] = {
    pb.STATUS_UNSPECIFIED: "not checked",
    pb.STATUS_OK: "ok",
    pb.STATUS_DEGRADED: "DEGRADED",
    pb.STATUS_DOWN: "DOWN",
}


def status_figure(status: pb.Status) -> str:
    """Return how --json spells a status: ok, degraded, down, unspecified."""
    return pb.Status.Name(status).removeprefix("STATUS_").lower()
