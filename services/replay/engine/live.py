"""A live feed as a source: frames in the order in which the socket delivered them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Container, Sequence
from random import Random
from typing import Final

from fastpath.columns import Block
from fastpath.frame import MARKER_DISCONNECTED, MARKER_RECONNECTED, MODE_LIVE
from fastpath.live import decode_live_frame
from fastpath.records import Marker
from services.replay.engine.feed_buffer import FeedBuffer, FeedLimits, Frame, Taken
from services.replay.engine.feed_connection import FeedDialer, without_credentials
from services.replay.sources import Poll
from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.clock import Clock
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

RECONNECT: Final = BackoffPolicy(base_s=0.5, cap_s=60.0)
STABLE_S: Final = 30.0
"""Only a connection that held for so long starts the delays over: a peer that accepts, sends a little and closes is no success."""
STOP_TIMEOUT_S: Final = 2.0


class LiveSource:
    """Receives a feed in a thread of its own and hands the rows out when polled.

    It connects while it is started, again and again, for ever. A marker tells when the feed was lost, another one when it is back; before
    the first connection there is nothing to lose, so then only `connected` and `problem` tell. `stop` and `start` may alternate; what was
    received before `stop` can still be polled.
    """

    mode = MODE_LIVE

    def __init__(
        self,
        url: str,
        *,
        dial: FeedDialer,
        clock: Clock,
        random: Random,
        tickers: Container[str] | None = None,
        rejections_elsewhere: bool = False,
        limits: FeedLimits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.names: Sequence[str] = (without_credentials(url),)
        self.connected = False
        self._problem = ""
        self._refusal = ""
        """Why the last connection ended, where the next one will most likely end in the same way."""
        self._open_since_ns = 0
        self.reconnects = 0
        self.skipped = 0
        self._dial = dial
        self._clock = clock
        self._tickers = tickers
        self._rejections_elsewhere = rejections_elsewhere
        self._backoff = Backoff(random, RECONNECT)
        self._sleep = sleep
        self._wake: Callable[[], None] = lambda: None
        self._buffer = FeedBuffer(
            limits if limits is not None else FeedLimits(), wake=lambda: self._wake(), time_ns=clock.time_ns
        )
        self._number = 0
        self._open = False
        self._was_lost = False
        self._note: Callable[[int, int, bytes], None] | None = None
        self._markers: list[Marker] = []
        """Taken out of the buffer and waiting for a row; only a lost feed is told without one."""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        """What is wrong at the moment, for people; empty when nothing is."""
        if self._problem or not self._refusal:
            return self._problem
        # A connection that works is no proof yet: the ones before it did so, too.
        is_stable = self._clock.monotonic_ns() - self._open_since_ns >= STABLE_S * 1e9
        return "" if is_stable else f"the live feed was lost before: {self._refusal}"

    @property
    def lost_frames(self) -> int:
        """Frames dropped because nobody took them in time."""
        return self._buffer.lost_frames

    @property
    def queued_frames(self) -> int:
        """Frames received and not yet polled."""
        return len(self._buffer)

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to connect; nothing happens when it runs already."""
        self._wake = wake
        if self._thread is not None:
            return
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="live-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Disconnect, without a marker: it was our will. Returns when the thread has ended."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        self._thread = self._loop = None
        loop.call_soon_threadsafe(self._cancel)
        thread.join(STOP_TIMEOUT_S)
        if thread.is_alive():
            # A name server that does not answer can hold it; it delivers nothing any more.
            logger.warning("live feed thread does not end and is left behind", extra=fields(waited_s=STOP_TIMEOUT_S))
        self.connected = False
        self._problem = self._refusal = ""

    def note_numbers(self, note: Callable[[int, int, bytes], None] | None) -> None:
        """Have each frame that is polled from now on noted first: its number, receive time and payload. None ends that."""
        self._note = note

    def take(self, limit: int) -> Taken:
        """Take markers and at most `limit` frames as they came, in place of polling."""
        return self._buffer.take(limit)

    def poll(self, into: Block, limit: int) -> Poll:
        """Append the rows of some frames; frames that a filter leaves empty are passed over."""
        before = len(into)
        while True:
            taken = self._buffer.take(limit)
            self._markers += taken.markers
            for frame in taken.frames:
                if self._note is not None:
                    self._note(frame.number, frame.receive_time_ns, frame.payload)
                self.skipped += decode_live_frame(
                    frame.payload,
                    into,
                    receive_time_ns=frame.receive_time_ns,
                    source_rank=0,
                    frame_number=frame.number,
                    only_tickers=self._tickers,
                    rejections_elsewhere=self._rejections_elsewhere,
                )
            rows = len(into) - before
            lost_feed = any(marker.kind == MARKER_DISCONNECTED for marker in self._markers)
            if rows or lost_feed:
                markers, self._markers = tuple(self._markers), []
                return Poll(rows=rows, markers=markers, urgent=lost_feed and not rows)
            if not taken.frames:
                return Poll()

    def discard(self) -> int:
        """Drop what was received and not polled; return how many frames that were."""
        lost = sum(marker.lost_frames for marker in self._markers)
        self._markers.clear()
        return lost + self._buffer.discard()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        # A switch is told by its seam: what was lost before it does not come back with this connection.
        self._was_lost = False
        self._task = loop.create_task(self.follow())
        try:
            loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception:  # a bug; without a word the feed would just be silent
            logger.exception("live feed failed")
            self._problem = "the live feed failed: internal error"
        finally:
            self.connected = False
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            # One round of the loop also lets an aborted connection say goodbye to its transport.
            loop.run_until_complete(asyncio.gather(asyncio.sleep(0), *left, return_exceptions=True))
            loop.close()

    async def follow(self) -> None:
        """Connect, receive until the connection ends, and again, until cancelled."""
        while True:
            self._open = False
            try:
                link = await self._dial(self._on_messages)
            except Exception as exc:  # noqa: BLE001  whatever a peer can do to a handshake must not end the feed
                if self._open:
                    self._on_lost(_described(exc))
                await self._pause(f"the live feed cannot be reached: {_described(exc)}")
                continue
            self._on_open()
            since_ns = self._clock.monotonic_ns()
            try:
                await link.wait_closed()
            finally:
                link.end()
                self.connected = False
            self._refusal = link.reason() if link.is_refusal else ""
            if self._clock.monotonic_ns() - since_ns >= STABLE_S * 1e9 and not self._refusal:
                self._backoff.reset()
            self._on_lost(link.reason())
            await self._pause(f"the live feed was lost: {link.reason()}")

    def _on_open(self) -> None:
        """Note that the connection is there: called when dialling returns, or by the first message, which may be earlier."""
        if self._open:
            return
        self._open = True
        if self._was_lost:
            self._was_lost = False
            self.reconnects += 1
            self._buffer.put(Marker(kind=MARKER_RECONNECTED, time_ns=self._clock.time_ns()))
        self.connected = True
        self._open_since_ns = self._clock.monotonic_ns()
        self._problem = ""
        logger.info("live feed connected", extra=fields(url=self.names[0]))
        self._wake()

    def _on_lost(self, reason: str) -> None:
        self.connected = False
        self._was_lost = True
        self._buffer.put(Marker(kind=MARKER_DISCONNECTED, time_ns=self._clock.time_ns(), reason=reason))

    def _on_messages(self, receive_time_ns: int, payloads: list[bytes]) -> None:
        self._on_open()
        first = self._number + 1
        self._number += len(payloads)
        self._buffer.put_frames(
            [Frame(number, receive_time_ns, payload) for number, payload in enumerate(payloads, first)]
        )

    async def _pause(self, problem: str) -> None:
        delay_s = self._backoff.next_s()
        self._problem = problem
        logger.warning("live feed is away", extra=fields(reason=problem, again_in_s=round(delay_s, 1)))
        self._wake()
        await self._sleep(delay_s)


def _described(exc: BaseException) -> str:
    text = str(exc).strip() or type(exc).__name__
    return text if len(text) <= 300 else text[:297] + "..."
