"""Recorded files to rows in arrival order."""

from services.replay.sources.errors import SourceFailed, UnusableInput
from services.replay.sources.file_source import SourceNote
from services.replay.sources.growth import GROWING
from services.replay.sources.historical import HistoricalSource
from services.replay.sources.inputs import fingerprint_difference
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.source import Complaints, Poll, TickSource

__all__ = [
    "GROWING",
    "Complaints",
    "HistoricalOptions",
    "HistoricalSource",
    "Poll",
    "SourceFailed",
    "SourceNote",
    "TickSource",
    "UnusableInput",
    "fingerprint_difference",
]
