"""Methods with a bounded line: a call that has no room is told so before anything of it is looked at but its headers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Protocol, cast

import grpc

from services.runtime.call_figures import CallFigures
from services.runtime.errors import MidstreamError
from services.runtime.logs import CORRELATION_ID_KEY, accept_correlation_id
from services.runtime.refusal_pace import RefusalPace
from services.runtime.statuses import Context, code_of

__all__ = ["PUSHBACK_KEY", "Refuser", "Room", "arrived", "on_its_way"]

PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
"""Trailing metadata that gRPC's own retries go by: when to come again."""


_done: ContextVar[Callable[[], object] | None] = ContextVar("midstream_on_its_way", default=None)


def on_its_way(room: Room) -> None:
    """Have the call being handled count in `room` until it has its place there, or has ended: `arrived`.

    Between the look at the line and the place in it its request is read and checked, and meanwhile others look.
    """
    _done.set(room.coming())


def arrived() -> None:
    """Say that the call being handled is not on its way to a place any more. Harmless when repeated, and for any other call."""
    done = _done.get()
    if done is not None:
        done()


class Room(Protocol):
    """How much room a method has left. Asked for every call, so it has to be quick."""

    def refusal(self) -> MidstreamError | None:
        """Return what a call is told that begins now; None while there is room."""
        ...

    def refused(self, error: MidstreamError) -> None:
        """Count a call that was told so."""
        ...

    def coming(self) -> Callable[[], object]:
        """Count a call that is on its way to a place; return what ends that, which may be called more than once."""
        ...


class Refuser:
    """Ends calls of one method. One handler serves all of them, and does no more than send a status.

    To the library it is a method whose client streams, so that the request is never read; nothing is raised, which the library would make
    up a traceback for: but for one that keeps its place on its connection for a while (`RefusalPace`), since only so can it be told before
    it ends. A call that ends here counts in the figures of its method. It has no span and no line of its own in the log: a
    flood must fill neither the collector nor the disk.
    """

    def __init__(
        self, room: Room, figures: CallFigures, pace: RefusalPace, told: Callable[[MidstreamError], None]
    ) -> None:
        self._room = room
        self._figures = figures
        self._pace = pace
        self._told = told
        self.handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(cast("Any", self._refuse))

        self._error: MidstreamError | None = None

    def refuses(self) -> bool:
        """Whether a call that begins now is refused: by `handler`, which comes next. Another one is on its way."""
        self._error = self._room.refusal()
        if self._error is None:
            on_its_way(self._room)
        return self._error is not None

    async def _refuse(self, _requests: Any, context: Context) -> None:
        begun_s = self._figures.begin()
        error = self._error
        assert error is not None
        given = next((value for key, value in context.invocation_metadata() or () if key == CORRELATION_ID_KEY), None)
        code = code_of(error)
        trailing = (*error.metadata, (CORRELATION_ID_KEY, accept_correlation_id(given)))
        self._room.refused(error)
        self._told(error)
        self._figures.end(code, begun_s)
        turn = self._pace.turn(context.peer())
        if turn is None:
            context.set_code(code)
            context.set_details(error.message)
            context.set_trailing_metadata(trailing)
            return
        try:
            await context.abort(code, error.message, trailing)
        finally:
            # The caller has its answer. The library counts the call for its connection until this ends.
            await turn
