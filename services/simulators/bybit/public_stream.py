"""Public websockets: /v5/public/{spot,linear,inverse,option} and /v5/public/misc/status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from services.simulators.bybit.books import Books
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import OPTION, SPOT
from services.simulators.bybit.public_topics import HEARTBEAT_TOPIC, PublicTopics, Topic
from services.simulators.bybit.sessions import Command, Session, is_over, open_session, read_command, reply
from services.simulators.venue.messages import dump
from services.simulators.venue.sockets import SimSocket

PREFIX: Final = "/v5/public/"
STATUS: Final = "misc/status"
STATUS_TOPIC: Final = "system.status"
ARGS_MAX_SPOT: Final = 10
CHARACTERS_MAX: Final = 21_000
"""Of the topics of one connection."""
REPEAT_NS: Final = 3_000_000_000
"""How long depth 1 stays as it is before it is said again."""


@dataclass
class _Listener:
    session: Session
    category: str
    topics: dict[str, Topic] = field(default_factory=dict)


class PublicStream:
    """All public sockets."""

    def __init__(self, venue: BybitExchange, books: Books) -> None:
        self._venue = venue
        self._topics = PublicTopics(venue, books)
        self._listeners: dict[SimSocket, _Listener] = {}

    def open(self, socket: SimSocket, category: str) -> None:
        """Register a socket."""
        self._listeners[socket] = _Listener(open_session(self._venue, ""), category)

    def close(self, socket: SimSocket) -> None:
        """Forget a socket."""
        self._listeners.pop(socket, None)

    def has(self, socket: SimSocket) -> bool:
        """Whether the socket is one of these."""
        return socket in self._listeners

    def receive(self, socket: SimSocket, text: str) -> None:
        """Take a command."""
        listener = self._listeners[socket]
        listener.session.heard_ns = self._venue.wall_ns()
        command = read_command(text)
        if command is None:
            reply(socket, self._answer(listener, Command("", [], None), "error:invalid json or op", success=False))
        elif command.op == "ping":
            reply(socket, self._pong(listener, command))
        elif command.op == "subscribe":
            self._subscribe(socket, listener, command)
        elif command.op == "unsubscribe":
            for name in command.args:
                listener.topics.pop(str(name), None)
            reply(socket, self._answer(listener, command, ""))
        else:
            reply(socket, self._answer(listener, command, f"error:unknown op {command.op[:32]}", success=False))

    # -- commands -------------------------------------------------------------------------------------------------

    def _pong(self, listener: _Listener, command: Command) -> dict[str, Any]:
        if listener.category == OPTION:
            return {"args": [str(self._venue.shown_ms(self._venue.wall_ns()))], "op": "pong"}
        answer = {"success": True, "ret_msg": "pong", "conn_id": listener.session.conn_id}
        echo = {} if listener.category == SPOT else {"req_id": command.req_id or ""}
        return {**answer, **echo, "op": "ping"}

    def _answer(self, listener: _Listener, command: Command, text: str, *, success: bool = True) -> dict[str, Any]:
        answer = {"success": success, "ret_msg": text, "conn_id": listener.session.conn_id}
        return {**answer, "req_id": command.req_id or "", "op": command.op}

    def _subscribe(self, socket: SimSocket, listener: _Listener, command: Command) -> None:
        names = [str(name) for name in command.args]
        if listener.category == OPTION:
            answer = {"success": True, "conn_id": listener.session.conn_id}
            reply(socket, {**answer, "data": {"failTopics": [], "successTopics": names}, "type": "COMMAND_RESP"})
            return
        found = {name: self._topics.find(listener.category, name) for name in names}
        problem = self._problem(listener, names, found)
        if problem:
            # One that is wrong refuses them all.
            reply(socket, self._answer(listener, command, problem, success=False))
            return
        reply(socket, self._answer(listener, command, "subscribe" if listener.category == SPOT else ""))
        now_ns = self._venue.wall_ns()
        for name, topic in found.items():
            assert topic is not None
            listener.topics[name] = topic
            for frame in self._topics.first(topic, now_ns):
                self._send(socket, topic, frame, now_ns)

    def _problem(self, listener: _Listener, names: list[str], found: dict[str, Topic | None]) -> str:
        if not names:
            return "error:args is empty"
        if listener.category == SPOT and len(names) > ARGS_MAX_SPOT:
            return f"args size >{ARGS_MAX_SPOT}"
        if sum(map(len, [*listener.topics, *names])) > CHARACTERS_MAX:
            return f"args of a connection are longer than {CHARACTERS_MAX} characters"
        for name, topic in found.items():
            if topic is None:
                return f"error:handler not found,topic:{name[:64]}"
            if name in listener.topics:
                return f"error:already subscribed,topic:{name}"
        return ""

    # -- sending --------------------------------------------------------------------------------------------------

    def publish(self, now_ns: int) -> None:
        """Send what changed with the step."""
        for socket, listener in list(self._listeners.items()):
            for topic in list(listener.topics.values()):
                for frame in self._topics.next(topic, now_ns):
                    self._send(socket, topic, frame, now_ns)

    def beat(self, now_ns: int) -> None:
        """Say depth 1 again where nothing changed, and leave clients that have been silent for too long."""
        for socket, listener in list(self._listeners.items()):
            if is_over(listener.session, now_ns):
                socket.close(1000, "no ping")
                continue
            for topic in list(listener.topics.values()):
                if topic.kind == HEARTBEAT_TOPIC and topic.depth == 1 and now_ns - topic.sent_ns >= REPEAT_NS:
                    for frame in self._topics.first(topic, now_ns):
                        self._send(socket, topic, frame, now_ns)

    def send_status(self, now_ns: int) -> None:
        """Tell everybody who listens to it of the newest incident."""
        for socket, listener in list(self._listeners.items()):
            for name, topic in listener.topics.items():
                if name == STATUS_TOPIC:
                    frame = {"topic": name, "ts": self._venue.shown_ms(now_ns), "data": self._venue.incidents[:1]}
                    self._send(socket, topic, frame, now_ns)

    def _send(self, socket: SimSocket, topic: Topic, frame: Any, now_ns: int) -> None:
        topic.sent_ns = now_ns
        self._venue.emit(socket, dump(frame).decode())
