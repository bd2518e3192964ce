"""The keys that an issuer signs its tokens with: fetched, checked, and kept while the issuer is away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import jwt
from jwt.exceptions import PyJWTError

from clients.http import Http11Transport, HttpRequest, HttpTransport, Timeouts, TransportError
from clients.resilience.ports import MonotonicNs
from services.runtime.errors import StartRefused, Unavailable
from services.runtime.log_fields import fields
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

SET_BYTES_MAX: Final = 256 * 1024
KEYS_MAX: Final = 100
FETCH_S_MAX: Final = 5.0
FRESH_NS: Final = 300_000_000_000
"""Keys are fetched again after this; one that the issuer took back signs nothing any more."""
UNKNOWN_NS: Final = 60_000_000_000
"""At most one fetch in this time for the sake of key ids that nobody knows, however many tokens name them."""
TROUBLE_NS: Final = 15_000_000_000
"""Between two attempts while the issuer is away."""
STALE_NS_MAX: Final = 6 * 3_600_000_000_000
"""How long the last keys count while the issuer is away: longer than outages of identity providers, shorter than a day's desk."""
RSA_BITS_MIN: Final = 2048

Fetch = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True)
class TokenKey:
    """One public key, with the only algorithm that it may verify."""

    algorithm: str
    key: jwt.PyJWK


class FetchFailed(Exception):
    """The issuer's keys could not be had, in words."""


class TokenKeys:
    """Keys by id. Fetches in the background; callers wait only where there is nothing that could answer them yet."""

    def __init__(self, fetch: Fetch, *, monotonic_ns: MonotonicNs) -> None:
        self._fetch = fetch
        self._monotonic_ns = monotonic_ns
        self._keys: dict[str, TokenKey] = {}
        self._fetched_ns: int | None = None
        self._tried_ns: int | None = None
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""
        """Why the keys are older than they should be; empty when they are not."""

    async def find(self, key_id: str) -> TokenKey | None:
        """Return a key; an empty id is that of the only one. Raises Unavailable where no key can be known."""
        if self._fetched_ns is None or self._age_ns(self._fetched_ns) > STALE_NS_MAX:
            await self._attempt(after_ns=TROUBLE_NS)
        elif self._named(key_id) is None:
            await self._attempt(after_ns=UNKNOWN_NS)
        elif self._age_ns(self._fetched_ns) > FRESH_NS:
            self._begin(after_ns=TROUBLE_NS)
        if self._fetched_ns is None or self._age_ns(self._fetched_ns) > STALE_NS_MAX:
            raise Unavailable(
                f"tokens cannot be checked: {self.trouble or 'the keys of the issuer were not fetched yet'}"
            )
        return self._named(key_id)

    def start(self) -> None:
        """Fetch in the background."""
        self._begin(after_ns=0)

    async def close(self) -> None:
        """Fetch no more."""
        await end_task(self._task)

    def _named(self, key_id: str) -> TokenKey | None:
        if not key_id and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _age_ns(self, at_ns: int) -> int:
        return self._monotonic_ns() - at_ns

    async def _attempt(self, *, after_ns: int) -> None:
        self._begin(after_ns=after_ns)
        if self._task is not None and not self._task.done():
            await asyncio.wait((self._task,))

    def _begin(self, *, after_ns: int) -> None:
        """Begin a fetch, unless one is under way or the last one was begun less than `after_ns` ago."""
        if self._task is not None and not self._task.done():
            return
        if self._tried_ns is None or self._age_ns(self._tried_ns) >= after_ns:
            self._tried_ns = self._monotonic_ns()
            self._task = asyncio.create_task(self._run(), name="token-keys")

    async def _run(self) -> None:
        began_ns = self._monotonic_ns()
        try:
            async with asyncio.timeout(FETCH_S_MAX):
                keys = read_keys(await self._fetch())
        except (FetchFailed, TransportError, OSError) as exc:
            reason = f"no answer within {FETCH_S_MAX:g} s" if isinstance(exc, TimeoutError) else str(exc)
            if not self.trouble:
                logger.warning("keys of the token issuer not fetched, the last ones count", extra=fields(reason=reason))
            self.trouble = f"the keys of the token issuer cannot be fetched: {reason}"
            return
        if self.trouble or keys.keys() != self._keys.keys():
            logger.info("keys of the token issuer fetched", extra=fields(keys=sorted(keys)[:20]))
        self._keys, self._fetched_ns, self.trouble = keys, began_ns, ""


def read_keys(body: bytes) -> dict[str, TokenKey]:
    """Return the usable keys of a JSON web key set by id: RSA for RS256, P-256 for ES256, and nothing that is secret or for encryption."""
    try:
        listed = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise FetchFailed('what was fetched is no JSON web key set ({"keys": [...]})') from exc
    if not isinstance(listed, list):
        raise FetchFailed('what was fetched is no JSON web key set: "keys" is no list')
    found: dict[str, TokenKey] = {}
    for entry in listed[:KEYS_MAX]:
        key = _key(entry) if isinstance(entry, Mapping) else None
        if key is not None:
            found.setdefault(str(entry.get("kid") or ""), key)
    if not found:
        raise FetchFailed(f"the JSON web key set holds no usable key (RSA of {RSA_BITS_MIN} bits or more, or EC P-256)")
    return found


def _key(entry: Mapping[str, Any]) -> TokenKey | None:
    """Return a key that verifies; the issuer's set says what it is for, a token never does."""
    members: tuple[str, ...]
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            algorithm, members = "RS256", ("kty", "n", "e")
        case "EC", "P-256":
            algorithm, members = "ES256", ("kty", "crv", "x", "y")
        case _:
            return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return None
    try:
        # Its public members only, whatever else it holds.
        key = jwt.PyJWK.from_dict({name: entry[name] for name in members}, algorithm=algorithm)
    except (PyJWTError, KeyError, ValueError, TypeError) as exc:
        logger.warning(
            "key of the token issuer skipped", extra=fields(kid=str(entry.get("kid"))[:64], reason=type(exc).__name__)
        )
        return None
    if algorithm == "RS256" and key.key.key_size < RSA_BITS_MIN:
        logger.warning(
            "key of the token issuer skipped", extra=fields(kid=str(entry.get("kid"))[:64], reason="too short")
        )
        return None
    return TokenKey(algorithm, key)


def fetch_from(url: str, transport: Callable[[], HttpTransport] | None = None) -> Fetch:
    """Return what fetches a key set, anew each time. Raises StartRefused for a URL whose answer nobody could trust."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))

        async def read() -> bytes:
            return await asyncio.to_thread(_read_bounded, path)

        return read
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
        raise StartRefused(
            f"MIDSTREAM_TOKEN_KEYS_URL must be https://... or file:///..., since whoever answers it makes tokens (got {url[:100]!r})"
        )
    if transport is None:
        timeouts = Timeouts(connect_s=FETCH_S_MAX, read_s=FETCH_S_MAX)
        transport = lambda: Http11Transport(timeouts=timeouts, connections_max=1)  # noqa: E731

    async def get() -> bytes:
        once = transport()
        try:
            request = HttpRequest("GET", url, {"accept": "application/json"}, answer_bytes_max=SET_BYTES_MAX)
            answer = await once.send(request, timeout_s=FETCH_S_MAX)
        finally:
            await once.aclose()
        if answer.status != 200:
            note = ", and redirects are not followed" if 300 <= answer.status < 400 else ""
            raise FetchFailed(f"it answers {answer.status}{note}")
        return answer.body

    return get


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(SET_BYTES_MAX + 1)
    if len(body) > SET_BYTES_MAX:
        raise FetchFailed(f"{path} has more than {SET_BYTES_MAX} bytes")
    return body
