"""The producing end of the queue."""

from services.replay.queue.acknowledgement import Level
from services.replay.queue.errors import Fenced, QueueLost, RedisRefused, SessionTaken, Stopped
from services.replay.queue.model import Adopted, Checkpoint, QueueLimits, SinkExpectation
from services.replay.queue.publisher import Publisher

__all__ = [
    "Adopted",
    "Checkpoint",
    "Fenced",
    "Level",
    "Publisher",
    "QueueLimits",
    "QueueLost",
    "RedisRefused",
    "SessionTaken",
    "SinkExpectation",
    "Stopped",
]
