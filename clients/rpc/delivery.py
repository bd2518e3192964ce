"""What a subscriber of ticks or mids wants to happen while it reads more slowly than they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protos.common.v1.market_pb2 import SUBSCRIBER_POLICY_UNSPECIFIED, SubscriberPolicy
from protos.price.v1.price_pb2 import StreamMidPricesRequest
from protos.replay.v1.replay_pb2 import StreamTicksRequest

__all__ = ["DEFAULT_DELIVERY", "Delivery"]


@dataclass(frozen=True)
class Delivery:
    """A policy and what belongs to it; protos/common/v1/market.proto says what each of them means."""

    policy: SubscriberPolicy = SUBSCRIBER_POLICY_UNSPECIFIED
    conflate_interval_ms: int = 0
    """With CONFLATE: at most one batch in so many milliseconds."""
    lag_records_max: int = 0
    """With SKIP: how many records one may be behind before the oldest are left out; 0 means as many as are retained."""
    with_lag: bool = False
    """Let every batch say how far one is behind (`batch.lag`)."""

    def ask(self, request: StreamTicksRequest | StreamMidPricesRequest) -> None:
        """Put it into a request."""
        request.policy, request.with_lag = self.policy, self.with_lag
        request.conflate_interval_ms, request.lag_records_max = self.conflate_interval_ms, self.lag_records_max


DEFAULT_DELIVERY: Final = Delivery()
