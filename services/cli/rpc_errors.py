"""Tell the person at the terminal what a failed call to one of our servers means."""

from __future__ import annotations

from typing import Final

import grpc

from services.cli.output import ExitCode

_CALLER_CODES: Final = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
)


def exit_code_of(exc: grpc.RpcError) -> ExitCode:
    """Return the exit code: REFUSED when the caller can mend it."""
    return ExitCode.REFUSED if exc.code() in _CALLER_CODES else ExitCode.FAILED


def explain(server: str, address: str, exc: grpc.RpcError) -> str:
    """Say in one line what went wrong, and what to do."""
    code, details = exc.code(), exc.details()
    if code == grpc.StatusCode.UNAVAILABLE and "connect" in str(details).lower():
        return f"no {server} server answers on {address}: start it with `midstream serve` or set MIDSTREAM_{server.upper()}_PORT"
    return f"{details} ({code.name})"
