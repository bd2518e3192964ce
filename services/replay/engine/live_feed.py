"""Open the feed that a URL names: a websocket in our layout, or an exchange's own stream of quotes."""

from __future__ import annotations

from collections.abc import Container
from random import Random
from typing import Final

from services.replay.engine.exchange_address import exchange_address
from services.replay.engine.feed_buffer import FeedLimits
from services.replay.engine.feed_connection import FeedDialer, ReceiveClock, WebsocketFeedDialer
from services.replay.engine.live import LiveSource
from services.runtime.clock import Clock

LIVE_RANK: Final = 0
"""Rank of the source: a session has one feed."""


def open_live_source(
    url: str,
    *,
    clock: Clock,
    random: Random,
    message_bytes_max: int,
    tickers: Container[str] | None = None,
    rejections_elsewhere: bool = False,
    limits: FeedLimits | None = None,
) -> LiveSource:
    """Return the source; it connects once it is started. Raises StartRefused.

    `rejections_elsewhere`: another partition has what cannot be used.
    """
    address = exchange_address(url)
    if address is None:
        received = ReceiveClock(time_ns=clock.time_ns, monotonic_ns=clock.monotonic_ns)
        dial: FeedDialer = WebsocketFeedDialer(url, received, message_bytes_max=message_bytes_max)
    else:
        # Only here: the clients of the exchanges take their time to import.
        from services.replay.engine.exchange_feed import ExchangeDialer, check_place, open_quotes_client

        check_place(address)
        dial = ExchangeDialer(address, open_quotes_client)
    return LiveSource(
        url,
        dial=dial,
        clock=clock,
        random=random,
        tickers=tickers,
        rejections_elsewhere=rejections_elsewhere,
        limits=limits,
    )
