"""Check that a request was signed by the account it names, in time."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from services.simulators.binance.errors import BinanceError, missing, outside_window
from services.simulators.venue.clearing import Account
from services.simulators.venue.ed25519 import verifies

WINDOW_MS: Final = 5000
WINDOW_MAX_MS: Final = 60_000


def without_signature(text: str) -> tuple[str, str | None]:
    """Return a query or body as it was signed, and the signature that stood in it."""
    kept, signature = [], None
    for part in text.split("&"):
        if part.startswith("signature="):
            signature = unquote_to_bytes(part.removeprefix("signature=")).decode("ascii", "replace")
        elif part:
            kept.append(part)
    return "&".join(kept), signature


def merged(query: str, body: str) -> dict[str, str]:
    """Return the parameters of both places; the query wins."""
    parameters = dict(parse_qsl(body, keep_blank_values=True))
    parameters.update(parse_qsl(query, keep_blank_values=True))
    return parameters


def is_signed(account: Account, payload: bytes, signature: str) -> bool:
    """Whether the account's key signed these bytes: HMAC in hexadecimal, or Ed25519 in base 64."""
    if account.public_key is None:
        expected = hmac.new(account.secret.encode(), payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace"))
    try:
        raw = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    return verifies(account.public_key, payload, raw)


def check_signature(account: Account, query: str, body: str) -> None:
    """Raise -1022 unless the bytes that came, as they came, are what was signed."""
    signed_query, in_query = without_signature(query)
    signed_body, in_body = without_signature(body)
    signature = in_query if in_query is not None else in_body
    if not signature:
        raise missing("signature")
    payload = (signed_query + signed_body).encode("utf-8", "surrogateescape")
    if not payload.isascii() or not is_signed(account, payload, signature):
        # Bytes beyond ASCII were not percent-encoded before they were signed.
        raise BinanceError(400, -1022, "Signature for this request is not valid.")


def check_sorted_signature(account: Account, parameters: Mapping[str, object]) -> None:
    """The websocket API's rule: all parameters but the signature, sorted by name."""
    signature = str(parameters.get("signature", ""))
    payload = "&".join(f"{name}={_text(parameters[name])}" for name in sorted(parameters) if name != "signature")
    if not is_signed(account, payload.encode(), signature):
        raise BinanceError(400, -1022, "Signature for this request is not valid.")


def check_time(market: str, parameters: Mapping[str, str], now_ms: int) -> int:
    """Raise unless the timestamp is within the window; return the time until which it is (ms on the exchange's clock)."""
    timestamp = _milliseconds(parameters, "timestamp")
    if timestamp is None:
        raise missing("timestamp")
    window = _milliseconds(parameters, "recvWindow")
    window = WINDOW_MS if window is None else window
    if window > WINDOW_MAX_MS:
        raise BinanceError(400, -1131, "recvWindow must be less than 60000")
    if timestamp >= now_ms + 1000:
        raise BinanceError(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - timestamp > window:
        raise outside_window(market, in_engine=False)
    return timestamp + window


def _milliseconds(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.replace(".", "", 1).isdecimal():
        raise missing(name)
    value = int(text.partition(".")[0])
    # Sixteen digits are microseconds.
    return value // 1000 if value >= 10**15 else value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
