"""What the websockets of Bybit have in common: commands, who is logged in, and the end of a connection that says nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from services.runtime.json_text import read_json
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.signing import check_stream_signature
from services.simulators.venue.clearing import Account
from services.simulators.venue.messages import dump
from services.simulators.venue.sockets import SimSocket

ACTIVE_S: Final = 600.0
ACTIVE_LEAST_S: Final = 30.0
SECOND_NS: Final = 1_000_000_000


@dataclass
class Session:
    """One socket."""

    conn_id: str
    heard_ns: int
    active_s: float = ACTIVE_S
    """How long it may say nothing."""
    account: Account | None = None
    request_ids: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Command:
    """A frame of a client."""

    op: str
    args: list[Any]
    req_id: str | None

    @property
    def echo(self) -> dict[str, str]:
        """The request's id, where it has one."""
        return {} if self.req_id is None else {"req_id": self.req_id}


def open_session(venue: BybitExchange, query: str, *, lasting: bool = False) -> Session:
    """Begin a session; where an address may say so (`lasting`), `max_active_time=30s..600s` is how long it may be silent."""
    session = Session(conn_id=f"sim-{venue.made_uuid()[:20]}", heard_ns=venue.wall_ns())
    given = parse_qs(query).get("max_active_time", [""])[0].removesuffix("s")
    if lasting and given.isdecimal():
        session.active_s = min(ACTIVE_S, max(ACTIVE_LEAST_S, float(given)))
    return session


def read_command(text: str) -> Command | None:
    """Return a command; None when it is none."""
    try:
        message = read_json(text)
    except ValueError:
        return None
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        return None
    args, req_id = message.get("args", []), message.get("req_id")
    return Command(message["op"], args if isinstance(args, list) else [args], None if req_id is None else str(req_id))


def login(venue: BybitExchange, args: list[Any]) -> tuple[Account | None, int, str]:
    """Return the account that a login is for, or the code and the text of its refusal."""
    if len(args) != 3 or isinstance(args[1], bool) or not str(args[1]).isdecimal():
        return None, 10001, "Param error"
    api_key, expires, signature = str(args[0]), int(args[1]), str(args[2])
    account = venue.clearing.by_key(api_key)
    if account is None:
        return None, 10003, "Invalid apikey"
    if expires <= venue.shown_ms(venue.wall_ns()):
        return None, 10004, "Params Error: expires is in the past"
    if not check_stream_signature(account.secret, expires, signature):
        return None, 10004, "Invalid sign"
    return account, 0, ""


def is_over(session: Session, now_ns: int) -> bool:
    """Whether a client has been silent for too long."""
    return now_ns - session.heard_ns > session.active_s * SECOND_NS


def reply(socket: SimSocket, payload: Any) -> None:
    """Send an acknowledgement: no plan keeps it back."""
    socket.send(dump(payload).decode())
