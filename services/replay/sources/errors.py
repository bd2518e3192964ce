"""Errors of sources: an input that cannot be replayed, and one that failed on the way."""

from __future__ import annotations

from services.runtime.errors import MidstreamError, StartRefused


class UnusableInput(StartRefused):
    """An input cannot be replayed as it is; the message names the file and the fix."""


class SourceFailed(MidstreamError):
    """Reading or spilling failed on the way (the file shrank, the disk is full); starting again may help."""
