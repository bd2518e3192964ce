"""Values that exchange clients are given, and those that travel between their shared half and an exchange's own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from clients.exchanges.client import ExchangeRequest
from clients.http.transport import HttpRequest, HttpResponse, HttpTransport
from clients.resilience.call import Executor
from clients.resilience.ports import MonotonicNs, WallNs


class SigningKey(Protocol):
    """A key pair that keeps its secret out of reprs."""

    @property
    def key_id(self) -> str: ...

    def reveal(self) -> str:
        """Return the secret."""
        ...


@dataclass(frozen=True)
class ClientPorts:
    """What every exchange client is given."""

    transport: HttpTransport
    executor: Executor
    key: SigningKey | None = None
    monotonic_ns: MonotonicNs = time.monotonic_ns
    wall_ns: WallNs = time.time_ns


@dataclass(frozen=True)
class Wire:
    """A request built and, where asked for, signed: for one attempt only."""

    request: HttpRequest
    expires_server_time_ns: int | None = None
    """When the exchange refuses it at last; None where nothing bounds that."""


@dataclass(frozen=True)
class Answer:
    """An answer as the judge sees it."""

    request: ExchangeRequest
    response: HttpResponse
    payload: Any
    """Parsed body; None when it is empty or no JSON."""
    malformed: str = ""
    """Why the body is no JSON; empty when it is."""


@dataclass(frozen=True)
class Complaint:
    """What an unsuccessful answer says, in the terms of the error table."""

    code: str
    text: str
