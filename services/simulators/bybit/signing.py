"""Check that a request was signed by the account it names, and is neither late nor early."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from services.simulators.bybit.errors import BybitError

EARLY_MS: Final = 1000
RECV_WINDOW_MS: Final = 5000


def check_signature(secret: str, *, timestamp: str, api_key: str, window: str, payload: bytes, signature: str) -> None:
    """Raise 10004 unless timestamp, key, window and payload, as they came, are what was signed."""
    message = f"{timestamp}{api_key}{window}".encode("utf-8", "surrogateescape") + payload
    if not _same(secret, message, signature):
        # The exchange repeats the whole text, key included, and so does this one: whoever logs it shows a key.
        raise BybitError(10004, f"error sign! origin_string[{message.decode('utf-8', 'replace')}]")


def check_stream_signature(secret: str, expires: int, signature: str) -> bool:
    """Return whether a websocket's login is signed by the account."""
    return _same(secret, f"GET/realtime{expires}".encode(), signature)


def check_window(timestamp: str, window: str, now_ms: int) -> None:
    """Raise 10002 unless server time - window <= timestamp < server time + 1 s. Checked at the door only."""
    try:
        sent_ms, window_ms = int(timestamp), int(window or RECV_WINDOW_MS)
    except ValueError:
        raise BybitError(10001, "Request parameter error: timestamp and recv_window must be numbers") from None
    if not now_ms - window_ms <= sent_ms < now_ms + EARLY_MS:
        raise BybitError(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{sent_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
        )


def _same(secret: str, message: bytes, signature: str) -> bool:
    expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
