"""Errors about secrets. Texts name settings, files and paths, never a value."""

from __future__ import annotations


class SecretError(Exception):
    """Root."""


class SecretRefused(SecretError):
    """An operator must act: something is missing, ambiguous, malformed, or readable by others."""


class SecretUnavailable(SecretError):
    """The store cannot be asked now, and no value is known that is young enough; try again later."""
