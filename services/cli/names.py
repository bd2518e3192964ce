"""What modes and statuses are called, for people and with --json."""

from __future__ import annotations

from typing import Final

from clients.rpc.control import HAND_OVERS, MODES
from protos.health.v1 import health_pb2 as pb
from protos.replay.v1.replay_pb2 import TimeDebt

HAND_OVER_NAMES: Final[dict[int, str]] = {kind: name or "at-once" for name, kind in HAND_OVERS.items()}

MODE_NAMES: Final[dict[int, str]] = {0: "unknown", **{mode: name for name, mode in MODES.items()}}

DEBT_POLICIES: Final = {
    "": TimeDebt.POLICY_UNSPECIFIED,
    "catch-up": TimeDebt.POLICY_CATCH_UP,
    "stretch": TimeDebt.POLICY_STRETCH,
    "fail": TimeDebt.POLICY_FAIL,
}

STATUS_NAMES: Final[dict[int, str]] = {
    pb.STATUS_UNSPECIFIED: "not checked",
    pb.STATUS_OK: "ok",
    pb.STATUS_DEGRADED: "DEGRADED",
    pb.STATUS_DOWN: "DOWN",
}


def debt_policy(policy: TimeDebt.Policy) -> str:
    """Return how options spell a policy; empty where none is named."""
    return TimeDebt.Policy.Name(policy).removeprefix("POLICY_").lower().replace("_", "-").replace("unspecified", "")


def status_figure(status: pb.Status) -> str:
    """Return how --json spells a status: ok, degraded, down, unspecified."""
    return pb.Status.Name(status).removeprefix("STATUS_").lower()
