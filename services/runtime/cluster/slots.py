"""Which node of a cluster has which keys: URLs of clusters, the table of slots, and where a command belongs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

from services.runtime.addresses import host_and_port
from services.runtime.errors import Bug
from services.runtime.redis_refusals import temporary_code

SLOTS: Final = 16_384
CLUSTER: Final = "+cluster"
"""At the end of a URL's scheme."""
URL_FORMS: Final = (
    "redis://HOST:PORT/0, rediss://HOST:PORT/0 or unix:///path/to/socket; of a cluster redis+cluster://HOST:PORT,HOST:PORT or "
    "rediss+cluster://HOST:PORT,HOST:PORT"
)

# fmt: off
_NO_KEYS: Final = frozenset((
    "ACL", "ASKING", "AUTH", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DISCARD", "ECHO", "EXEC", "HELLO", "INFO", "LATENCY", "MODULE",
    "MULTI", "PING", "READONLY", "ROLE", "SCRIPT", "SELECT", "SLOWLOG", "TIME", "UNWATCH", "WAIT", "WAITAOF",
))
_ALL_KEYS: Final = frozenset(("DEL", "EXISTS", "MGET", "RENAME", "RENAMENX", "TOUCH", "UNLINK", "WATCH"))
_KEY_SECOND: Final = frozenset(("MEMORY", "OBJECT", "XGROUP", "XINFO"))
_WHOLE: Final = frozenset(("DBSIZE", "FLUSHALL", "FLUSHDB", "KEYS", "RANDOMKEY", "SCAN"))
# fmt: on
_ELSEWHERE: Final = frozenset(("READONLY", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "TRYAGAIN"))
"""Codes of refusals that say: not here, or not now. An EXEC that was refused for MOVED or ASK has that code behind its own."""


class Elsewhere(redis.ConnectionError):
    """The cluster moved a slot away, or has nobody for it at the moment: as good as a lost connection."""


class NotACluster(redis.ConnectionError):
    """The URL of a cluster leads to a Redis on its own; waiting does not change that."""


@dataclass(frozen=True, order=True)
class Address:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)


def is_cluster_url(url: str) -> bool:
    """Tell whether a URL is one of a cluster."""
    return url.partition("://")[0].lower() in ("redis" + CLUSTER, "rediss" + CLUSTER)


def addresses(url: str) -> list[Address]:
    """Return the nodes that a URL names; raises ValueError when one of them is none."""
    found = []
    for text in _parts(url)[2].split(","):
        host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        if not colon:
            host, port = text, "6379"
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ValueError(f"{text!r} is not HOST:PORT")
        found.append(Address(host, int(port)))
    return found


def node_url(url: str, address: Address) -> str:
    """Return the URL of one node: what the cluster's URL says of password and TLS holds for it."""
    scheme, user, _, rest = _parts(url)
    return f"{scheme}://{user}{address}{rest}"


def node_urls(url: str) -> list[str]:
    """Return a URL of each node that a cluster's URL names; one of a Redis on its own is returned as it is."""
    return [node_url(url, address) for address in addresses(url)] if is_cluster_url(url) else [url]


def _parts(url: str) -> tuple[str, str, str, str]:
    """Split a URL into the scheme of a node, `user:password@`, the hosts, and what follows them."""
    scheme, _, rest = url.partition("://")
    query = min((index for mark in "/?#" if (index := rest.find(mark)) >= 0), default=len(rest))
    user, at, hosts = rest[:query].rpartition("@")
    path = rest[query:]
    if path[:2] not in ("", "/") and not path.startswith(("/0", "/?", "?")):
        raise ValueError("a cluster has no numbered databases: leave out what follows the ports, or write /0")
    return scheme.lower().removesuffix(CLUSTER), user + at, hosts, path


def slot_of(keys: Sequence[str | bytes]) -> int:
    """Return the slot of keys that belong together; raises Bug when they do not."""
    found = {int(key_slot(key if isinstance(key, bytes) else key.encode())) for key in keys}
    if len(found) != 1:
        raise Bug(f"{', '.join(map(str, keys))} are in {len(found)} slots, and no command reaches more than one")
    return found.pop()


def keys_of(arguments: Sequence[Any]) -> Sequence[Any]:
    """Return the keys of a command; without any it can be asked of every node. Raises Bug for those that are about all nodes."""
    first = arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0])
    words = first.upper().split()
    command, rest = words[0], [*words[1:], *arguments[1:]]
    if command in _NO_KEYS:
        return ()
    if command in _WHOLE:
        raise Bug(f"{command} is about one node; ask each of `primaries`")
    if command in ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"):
        return rest[2 : 2 + int(rest[1])]
    if command in ("XREAD", "XREADGROUP"):
        begin = 1 + next(i for i, word in enumerate(rest) if word in ("STREAMS", b"STREAMS"))
        return rest[begin : begin + (len(rest) - begin) // 2]
    if command in _KEY_SECOND:
        return rest[1:2]
    return rest if command in _ALL_KEYS else rest[:1]


class Slots:
    """Who has which slot, as one node said."""

    def __init__(self, ranges: Iterable[tuple[int, int, Address]]) -> None:
        self._ranges = sorted(ranges)

    @classmethod
    def parse(cls, reply: Any, asked: Address) -> Slots:
        """Read the answer to CLUSTER SLOTS; a node that does not know its own address is at the one that was asked."""
        return cls(_ranges(reply, asked))

    def owner(self, slot: int) -> Address | None:
        """Return the primary of a slot; None when it has none."""
        return next((address for first, last, address in self._ranges if first <= slot <= last), None)

    @property
    def primaries(self) -> list[Address]:
        """All primaries that have slots, in the order of these."""
        return list(dict.fromkeys(address for _, _, address in self._ranges))


def _ranges(reply: Any, asked: Address) -> Iterator[tuple[int, int, Address]]:
    for first, last, primary, *_ in reply:
        host = primary[0].decode() if isinstance(primary[0], bytes) else primary[0]
        if host != "?":
            yield int(first), int(last), Address(host or asked.host, int(primary[1]))


def nodes_in(reply: Any, asked: Address) -> list[Address]:
    """Return every node in an answer to CLUSTER SLOTS, primaries first."""
    rows = [[node for node in row[2:] if node[0] not in (b"?", "?")] for row in reply]
    ordered = [row[:1] for row in rows] + [row[1:] for row in rows]
    found = [
        Address((node[0].decode() if isinstance(node[0], bytes) else node[0]) or asked.host, int(node[1]))
        for row in ordered
        for node in row
    ]
    return list(dict.fromkeys(found))


def is_elsewhere(error: Exception) -> bool:
    """Tell whether a refusal says that a node is not, or not now, the one for these keys."""
    if isinstance(error, AskError):  # of which MOVED is one
        return True
    if not isinstance(error, redis.ResponseError):
        return False
    text = str(error).partition("Transaction discarded because of: ")[2] or str(error)
    return temporary_code(error) in _ELSEWHERE or text.startswith(("MOVED ", "ASK "))


def moved_to(error: AskError, asked: Address) -> Address:
    """Return where MOVED or ASK sends us."""
    return Address(error.host or asked.host, int(error.port))


def was_moved(error: Exception) -> bool:
    """Tell whether it was MOVED: the command was not executed, and the slot has another owner for good."""
    return isinstance(error, MovedError)
