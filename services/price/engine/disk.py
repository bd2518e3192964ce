"""What one sink has on disk, and all that it does there.

Lines are written while they are in the processor's cache, and count once a commit stored the lengths that cover them.
Order of every commit: write the rest of its lines, sync the logs, store the position. A restart cuts the logs back to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fastpath.midprice import PriceKernel
from services.price.engine.committer import Commit, Committed, Committer
from services.price.engine.files import INDEX_NAME, FileSystem, LogLengths, Logs, refuse_unknown_logs
from services.price.engine.options import EngineOptions
from services.price.engine.position import Position, PositionFile
from services.price.engine.stopped import SinkStopped
from services.runtime.errors import StartRefused
from services.runtime.faults import fault
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

PRIVATE_DIRECTORY: Final = ".midstream"
EARLY_BYTES: Final = 768 * 1024
"""So much text is written without waiting for a commit. It is still in the cache of the core that made it, and file systems put
long writes into large pages."""


class Disk:
    """Logs, position, and the thread that syncs them, of a directory whose lock the caller holds. Made for one thread.

    What the disk refuses ends the sink: these methods raise SinkStopped for it, and nothing is committed from then on.
    """

    def __init__(
        self, options: EngineOptions, *, files: FileSystem, wake: Callable[[], None], begin: Position | None = None
    ) -> None:
        """Open position and logs; raises StartRefused when they do not belong together. New logs begin at `begin`."""
        self._out = options.out
        self._position_file = PositionFile(options.out / PRIVATE_DIRECTORY / "position", files)
        position = self._position_file.position
        _check_partition(options, position)
        if begin is not None and position is not None and position.is_empty:
            position = None
        self._logs = _open_logs(options, position, files)
        if position is None:
            lengths = self._logs.lengths
            position = replace(
                begin or Position(),
                csv_bytes=lengths.csv,
                index_bytes=lengths.order_index,
                partition=options.partition,
                partitions=options.partitions if options.with_index else None,
            )
            self._position_file.commit(position)
        # A damaged slot may have been the last one: then the logs are cut only once the queue can fill them again.
        self._cut_due = self._position_file.doubtful
        if not self._cut_due:
            self._logs.cut()
        self.kernel = _continue_kernel(options, position)
        self.position = position
        """What is committed."""
        self.failed = False
        """A write or a sync failed. After a failed sync the kernel may have dropped the pages: these descriptors are not used again."""
        self._committer = Committer(logs=self._logs, position_file=self._position_file, wake=wake)

    @property
    def busy(self) -> bool:
        """Whether a commit was submitted whose result was not collected yet."""
        return self._committer.busy

    def write_early(self) -> None:
        """Write the kernel's lines if they are many."""
        kernel = self.kernel
        texts = (kernel.mid_text, kernel.error_text, kernel.csv_text, kernel.index_text)
        if sum(map(len, texts)) >= EARLY_BYTES:
            self.write()

    def write(self) -> LogLengths:
        """Write the kernel's lines; return how long the logs are with them. They count when these lengths are committed."""
        kernel = self.kernel
        try:
            if self._cut_due:
                self._logs.cut()
                self._cut_due = False
            fault("sink_before_write")
            self._logs.append(kernel.mid_text, kernel.error_text, kernel.csv_text, kernel.index_text)
            fault("sink_after_write")
        except OSError as exc:
            raise self._stopped(exc) from exc
        kernel.mid_text.clear()
        kernel.error_text.clear()
        kernel.csv_text.clear()
        kernel.index_text.clear()
        return self._logs.lengths

    def submit(self, commit: Commit) -> None:
        """Hand over the next commit; the one before must have been collected."""
        self._committer.submit(commit)

    def collect(self, *, wait: bool = False) -> Committed | None:
        """Return the commit that became durable, once. None: nothing is ready."""
        try:
            committed = self._committer.collect(wait=wait)
        except OSError as exc:
            raise self._stopped(exc) from exc
        if committed is not None:
            self.position = committed.commit.position
        return committed

    def _stopped(self, exc: OSError) -> SinkStopped:
        self.failed = True
        return SinkStopped(
            f"cannot write to `{self._out}`: {exc.strerror or exc}. Nothing is acknowledged but what is committed "
            f"(up to sequence {self.position.sequence}); make the directory writable again, then start again"
        )

    def close(self) -> None:
        self._committer.close()
        self._position_file.close()
        self._logs.close()


def _check_partition(options: EngineOptions, position: Position | None) -> None:
    """Refuse the logs of another partition, and those of a session that has another number of them."""
    if position is None or (position.partition, position.partitions or 1) == (options.partition, options.partitions):
        return
    theirs, ours = (
        "the one of a session" if partition is None else f"partition {partition} of {partitions}"
        for partition, partitions in (
            (position.partition, position.partitions),
            (options.partition, options.partitions),
        )
    )
    raise StartRefused(
        f"`{options.out}` holds the logs of {theirs}, not of {ours}; write to another directory, or start over with "
        "another session"
    )


def _open_logs(options: EngineOptions, position: Position | None, files: FileSystem) -> Logs:
    names = ("mid_prices.log", "errors.log", *([INDEX_NAME] if options.with_index else []))
    unknown: tuple[str, ...] = () if position is not None else names
    csv_unknown = options.with_csv and (position is None or position.csv_bytes is None)
    if csv_unknown:
        unknown += ("mid_prices.csv",)
        if position is not None and position.sequence:
            logger.warning("mid_prices.csv begins in the middle", extra=fields(first_sequence=position.sequence + 1))
    refuse_unknown_logs(options.out, unknown)
    committed = Position() if position is None else position
    logs = Logs(
        options.out,
        mid_bytes=committed.mid_bytes,
        error_bytes=committed.error_bytes,
        csv_bytes=committed.csv_bytes,
        with_csv=options.with_csv,
        index_bytes=(committed.index_bytes or 0) if options.with_index else None,
        files=files,
    )
    files.sync_directory(options.out)
    return logs


def _continue_kernel(options: EngineOptions, position: Position) -> PriceKernel:
    try:
        return PriceKernel(
            latency_threshold_ns=options.latency_threshold_ns,
            log_arrival=options.log_arrival,
            with_csv=options.with_csv,
            with_mids=options.with_mids,
            with_index=options.with_index,
            state=position.kernel_state,
        )
    except ValueError as exc:
        raise StartRefused(
            f"the position in `{options.out}` holds counts that this version cannot read ({exc}). "
            "Continue with the version that wrote it, or start over with --overwrite or in another directory"
        ) from exc
