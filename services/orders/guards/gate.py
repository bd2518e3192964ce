"""Open or close trading as a whole: the mode, the kill switch, and the first reconciliation of each exchange."""

from __future__ import annotations

from clients.resilience.ports import MonotonicNs
from services.orders.domain import TradingMode
from services.orders.errors import Reason, denied
from services.orders.guards.kill_switch import KillSwitch

RECONCILED_AGE_MAX_S = 300.0
"""Without a successful reconciliation for this long what we think we hold is a guess."""


class TradingGate:
    """Closed for an exchange until its books have been compared with ours, and again when that is too long ago."""

    def __init__(
        self,
        mode: TradingMode,
        switch: KillSwitch,
        *,
        monotonic_ns: MonotonicNs,
        reconciled_age_max_s: float = RECONCILED_AGE_MAX_S,
    ) -> None:
        self.mode = mode
        self._switch = switch
        self._monotonic_ns = monotonic_ns
        self._age_max_ns = round(reconciled_age_max_s * 1e9)
        self._reconciled_ns: dict[str, int] = {}
        self._troubles: dict[str, str] = {}

    def reconciled(self, exchange: str) -> None:
        """Open it for an exchange."""
        self._reconciled_ns[exchange] = self._monotonic_ns()
        self._troubles.pop(exchange, None)

    def failed(self, exchange: str, problem: str) -> None:
        """Remember why the last reconciliation failed."""
        self._troubles[exchange] = problem

    def blocked(self, exchange: str) -> str:
        """Say why nothing goes out to an exchange now; empty when it does. Looks at nothing that could take time."""
        if self._switch.engaged:
            row = self._switch.row
            return f"the kill switch is engaged ({row.actor}: {row.reason})"
        if self.mode is TradingMode.DRY_RUN:
            return ""
        since_ns = self._reconciled_ns.get(exchange)
        if since_ns is None:
            problem = self._troubles.get(exchange, "it has not finished")
            return f"the books were not reconciled with {exchange} yet: {problem}"
        if self._monotonic_ns() - since_ns > self._age_max_ns:
            problem = self._troubles.get(exchange, "")
            return f"the last reconciliation with {exchange} is more than {self._age_max_ns / 1e9:g} s ago: {problem}"
        return ""

    def check(self, exchange: str) -> None:
        """Deny when nothing goes out."""
        if problem := self.blocked(exchange):
            raise denied(Reason.KILL_SWITCH if self._switch.engaged else Reason.NOT_RECONCILED, problem)
