"""The partitions of one session that this server produces: its even share of them, an engine each.

Other servers have the others. A server that comes gets its share from those that have more, one that goes or dies leaves its own to the
rest. Who produces a partition is decided by the fence in Redis alone: everything here may be wrong for a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import redis

from services.runtime.errors import MidstreamError
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import SessionKeys
from services.runtime.session.owners import BEAT_S
from services.runtime.session.session_runner import Ending, SessionRunner
from services.runtime.session.shares import Member, plan
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

UNFIT_S: Final = 30.0
"""After an engine has failed here, for so long the others get what is free: they may have the file that is missing here."""
SILENT_LOOKS: Final = 5
"""So often has a partition been without a producer, although its engine here had it, before that engine counts as hung."""
SILENT_START_S: Final = 20.0
"""An engine that has not had its partition yet counts as hung after this long without a word: it says twice a second that it starts, also
while it reads files through."""
STRANGER: Final = "another producer"


class Membership(Protocol):
    """services.runtime.session.owners.Owners."""

    name: str

    async def meet(self, *, held: frozenset[int], fit: bool) -> list[Member]: ...
    async def leave(self) -> None: ...


class Producers(Protocol):
    """Who produces the partitions of a session."""

    async def producers(self, session: str, partitions: int) -> Mapping[int, str]:
        """Return the owner of each partition that somebody produces; "" for one that names none."""


class PartitionRunners:
    """Runs this server's share of a session until it is stopped."""

    def __init__(
        self,
        session: str,
        definition: SessionDefinition,
        *,
        make_runner: Callable[[SessionKeys], SessionRunner],
        settle: Callable[[], Awaitable[None]],
        owners: Membership,
        queue: Producers,
        monotonic_s: Callable[[], float],
        after: Ending | None = None,
        look_s: float = BEAT_S,
        on_trouble: Callable[[str], None] = lambda _trouble: None,
    ) -> None:
        """`settle` has the session published in so many parts, and raises a MidstreamError where it is not; `after` ends first;
        `on_trouble` hears `trouble` when it changes.
        """
        self._session = session
        self.definition = definition
        self._partitions = definition.partitions
        self._after = after
        self._make_runner = make_runner
        self._settle = settle
        self._is_settled = False
        self._owners = owners
        self._queue = queue
        self._monotonic_s = monotonic_s
        self._look_s = look_s
        self._on_trouble = on_trouble
        self._runners: dict[int, SessionRunner] = {}
        self._lost: set[int] = set()
        """Partitions with a runner that somebody else produced at the last look."""
        self._produced: set[int] = set()
        """Partitions that an engine of ours has had."""
        self._silent: dict[int, int] = {}
        """Of these, for how many looks nobody has produced them."""
        self._unfit_until_s = 0.0
        self.is_alone = True
        """Whether no other server took part at the last look."""
        self.failure = ""
        """Why an engine has ended for good here; empty once one runs."""
        self._trouble: str | None = None
        self._complaint = LogLimit(REPEAT_S)
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def trouble(self) -> str:
        """What its engines suffer from at the moment."""
        found = (
            f"partition {partition}: {runner.failure or runner.trouble}"
            for partition, runner in sorted(self._runners.items())
            if runner.failure or runner.trouble
        )
        return "; ".join(found) or self.failure

    @property
    def is_ours(self) -> bool:
        """Whether this server runs the session's engine of partition 0, or tried to: one server judges whether a session is idle."""
        first = self._runners.get(0)
        return bool(self.failure) or (first is not None and first.is_ours)

    @property
    def running(self) -> frozenset[str]:
        """Name the partitions whose engines run here, as their figures do; from any thread."""
        return frozenset[str]().union(*(runner.running for runner in tuple(self._runners.values())))

    @property
    def held(self) -> frozenset[int]:
        """The partitions that have a runner here."""
        return frozenset(self._runners)

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._follow(), name=f"partitions-{self._session}")

    async def run(self) -> int:
        """Wait until it is stopped; return the exit code of the server."""
        await self._stopping.wait()
        return 0

    async def stop(self) -> None:
        """Have every engine drain and hand its partition over. Harmless when repeated."""
        self._stopping.set()
        await end_task(self._task)
        self._task = None
        if self._after is not None:
            # It was to end first, and that was interrupted.
            await self._after.stop()
            self._after = None
        await self._hand_over(list(self._runners))
        try:
            await self._owners.leave()
        except (redis.RedisError, OSError) as exc:
            logger.debug("owner not removed", extra=fields(session=self._session, reason=exc))

    async def look(self) -> None:
        """See who is there, who produces what, and give or take what is due."""
        if not self._is_settled:
            try:
                await self._settle()
            except MidstreamError as exc:
                # It is looked at again: the session may be deleted meanwhile.
                self.failure = str(exc)
                return
            self._is_settled = True
            self.failure = ""
        producers = await self._queue.producers(self._session, self._partitions)
        self._note_failures()
        await self._give_up_lost(producers)
        await self._give_up_hung(producers)
        fit = self._monotonic_s() >= self._unfit_until_s
        members = await self._owners.meet(held=self.held, fit=fit)
        self.is_alone = len(members) == 1
        named = {partition: owner or STRANGER for partition, owner in producers.items()}
        moves = plan(self._owners.name, members, self._partitions, held=self.held, producers=named)
        if moves.give:
            logger.info("partitions handed over", extra=fields(session=self._session, partitions=list(moves.give)))
            await self._hand_over(list(moves.give))
        if moves.take:
            logger.info("partitions taken", extra=fields(session=self._session, partitions=list(moves.take)))
        for partition in moves.take:
            runner = self._runners[partition] = self._make_runner(SessionKeys(self._session, partition))
            runner.start()

    def _note_failures(self) -> None:
        failed = {partition: runner.failure for partition, runner in self._runners.items() if runner.failure}
        if failed:
            self._unfit_until_s = self._monotonic_s() + UNFIT_S
            self.failure = "; ".join(
                f"partition {partition}: {failure}" for partition, failure in sorted(failed.items())
            )
        elif any(runner.is_ours for runner in self._runners.values()):
            self.failure = ""

    async def _give_up_lost(self, producers: Mapping[int, str]) -> None:
        """Have no runner wait for what another owner produces: at the next end of that one it would be anybody's."""
        others = {each for each in self._runners if producers.get(each, self._owners.name) != self._owners.name}
        await self._hand_over(list(others & self._lost))
        self._lost = others

    async def _give_up_hung(self, producers: Mapping[int, str]) -> None:
        """End engines that had their partition and let its lease go, or never took it: stopped ones, or ones whose disk does not answer."""
        ours = {each for each in self._runners if producers.get(each) == self._owners.name}
        self._produced = (self._produced | ours) & self._runners.keys()
        self._silent = {each: self._silent.get(each, 0) + 1 for each in self._produced if each not in producers}
        hung = [partition for partition, looks in self._silent.items() if looks >= SILENT_LOOKS]
        hung += [
            partition
            for partition, runner in self._runners.items()
            if not producers.get(partition) and partition not in self._produced and runner.silent_s >= SILENT_START_S
        ]
        if hung:
            logger.warning("engines hang and are ended", extra=fields(session=self._session, partitions=hung))
            await self._hand_over(hung)

    async def _hand_over(self, partitions: list[int]) -> None:
        # They are ours until they have ended: who is interrupted here is followed by a `stop` that ends what is left.
        ending = {partition: self._runners[partition] for partition in partitions}
        await asyncio.gather(*(runner.stop() for runner in ending.values()))
        for partition, runner in ending.items():
            # A second stop may have come through meanwhile.
            if self._runners.get(partition) is runner:
                del self._runners[partition]
        self._produced.difference_update(partitions)

    async def _follow(self) -> None:
        if self._after is not None:
            await self._after.stop()
            self._after = None
        while True:
            try:
                await self.look()
                self._complaint.over()
            except (redis.RedisError, OSError) as exc:
                if self._complaint.passes() is not None:
                    logger.warning(
                        "partitions not shared out", extra=fields(session=self._session, error=type(exc).__name__)
                    )
            trouble = self.trouble
            if trouble != self._trouble:
                self._trouble = trouble
                self._on_trouble(trouble)
            await asyncio.sleep(self._look_s)
