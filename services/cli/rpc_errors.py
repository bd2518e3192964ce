"""Tell the person at the terminal what a failed call to one of our servers means."""

from __future__ import annotations

from typing import Final

import grpc
from rich.console import Console

_CALLER_CODES: Final = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
)


def refused_by_server(server: str, address: str, exc: grpc.RpcError) -> int:
    """Say in one line on stderr what went wrong; return the exit code: 2 when the caller can mend it, else 1."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"midstream: {_explain(server, address, exc)}", markup=False
    )
    return 2 if exc.code() in _CALLER_CODES else 1


def _explain(server: str, address: str, exc: grpc.RpcError) -> str:
    code, details = exc.code(), exc.details()
    if code == grpc.StatusCode.UNAVAILABLE and "connect" in str(details).lower():
        return f"no {server} server answers on {address}: start it with `midstream serve` or set MIDSTREAM_{server.upper()}_PORT"
    return f"{details} ({code.name})"
