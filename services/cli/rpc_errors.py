"""Tell the person at the terminal what a failed call to one of our servers means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc

from clients.rpc import ChannelSettings
from clients.rpc.diagnosis import Trouble, diagnose
from services.cli.output import ExitCode

_CALLER_CODES: Final = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.PERMISSION_DENIED,
)


@dataclass(frozen=True)
class Failure:
    """A failed call, for a person."""

    message: str
    """One line: what went wrong, and what to do."""
    exit_code: ExitCode
    """REFUSED when the caller can mend it."""


def explain(server: str, address: str, exc: grpc.RpcError, channel: ChannelSettings) -> Failure:
    """Say what a failed call means. Where no connection came about, the port is looked at by hand."""
    code, details = exc.code(), exc.details()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) and (
        found := diagnose(address, channel)
    ):
        return Failure(found.sentence, ExitCode.REFUSED if found.trouble is Trouble.CALLER else ExitCode.FAILED)
    if code == grpc.StatusCode.UNAVAILABLE and "connect" in str(details).lower():
        return Failure(
            f"no {server} server answers on {address}: start it with `midstream serve` or set MIDSTREAM_{server.upper()}_PORT",
            ExitCode.FAILED,
        )
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return Failure(
            f"{details} ({code.name}): set MIDSTREAM_API_KEY, or use --cert FILE and --key FILE", ExitCode.REFUSED
        )
    return Failure(f"{details} ({code.name})", ExitCode.REFUSED if code in _CALLER_CODES else ExitCode.FAILED)
