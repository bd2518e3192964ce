"""Who makes the call that is being handled."""

from __future__ import annotations

from contextvars import ContextVar

from services.runtime.access.identity import Identity
from services.runtime.errors import Unauthenticated

_identity: ContextVar[Identity | None] = ContextVar("midstream_identity", default=None)


def current_identity() -> Identity:
    """Return who makes the call being handled. Raises Unauthenticated outside of a call that was admitted."""
    identity = _identity.get()
    if identity is None:
        raise Unauthenticated("the call was not authenticated")
    return identity


def identity_or_none() -> Identity | None:
    """Return who makes the call being handled; None before it was admitted."""
    return _identity.get()


def set_identity(identity: Identity) -> None:
    """Say who makes the call; lasts as long as the task that handles it."""
    _identity.set(identity)
