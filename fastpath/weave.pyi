"""One order again: the streams of a session's partitions, merged by (arrival time, tie order) and what each promises."""

from collections.abc import Iterable
from typing import final

from typing_extensions import Buffer

def joint_epoch(epochs: list[bytes]) -> str:
    """Name the epochs of all partitions together: the first 32 hexadecimal digits of the SHA-256 of them, joined by line feeds."""

@final
class Weaver:
    """Merges the partitions of one session.

    A record comes out when nothing that a partition may still send comes before it: each partition's next record tells, or its last
    one, or its watermark. Seams and discontinuities bar the way until every partition has come to one; then those of the lowest
    revision come out as one. All other markers come out right behind what they follow in their partition, and rejections in place.
    """

    held_bytes: int
    """Bytes of the batches that wait here."""
    positions: list[tuple[str, int]]
    """(epoch, sequence) of every partition: up to where it came out."""
    def __new__(cls, partitions: int, *, after: Iterable[tuple[int, str, int]] = ()) -> Weaver:
        """`after` are (partition, epoch, sequence) of where to begin; of a partition that is not named, with what is fed first."""
    def feed(self, partition: int, buffer: Buffer) -> None:
        """Take what follows in a partition's stream: one encoded TickBatch.

        Raises FrameError where it does not follow. Another epoch may begin anywhere. Whoever feeds bounds how much waits: see `waiting`
        and `held_bytes`.
        """
    def promise(self, partition: int, epoch: str, sequence: int, arrival_time_ns: int) -> None:
        """Take a partition's low watermark.

        Behind `sequence` nothing arrives before `arrival_time_ns`, unless a barrier comes first. It counts once everything up to
        `sequence` was fed; the last one that was given replaces those before.
        """
    def excuse(self, partition: int) -> None:
        """Do not wait for a partition until it is fed again.

        What it then has comes out at once, in the order as far as that is left.
        """
    def take(self) -> bytes | None:
        """Return what is settled, as one encoded TickBatch; None when nothing is.

        It holds up to BATCH_ROWS_MAX records of one mode. `first_sequence` and `last_sequence` count the records of all partitions,
        `positions` says where each of them stands behind it, and `epoch` is `joint_epoch` of theirs. Ticks and rejections have no
        `tie_order`: they are as those of one partition. A barrier is in a batch of its own, whose empty `tick_sequence` says that it
        took the numbers of several.
        """
    def lagging(self) -> list[tuple[int, bool]]:
        """The partitions that hold up what waits, each with whether it may be excused; empty when nothing waits for anybody.

        Only live records are not waited for: one may be excused that was live last, or that has let pass when live data began.
        """
    def waiting(self, partition: int) -> int:
        """How many of a partition's batches wait here.

        The one that is being used up is among them.
        """
