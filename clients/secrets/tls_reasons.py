"""What went wrong with TLS or its files, for people."""

from __future__ import annotations

import ssl

__all__ = ["reason_of"]


def reason_of(exc: Exception) -> str:
    """Return the library's reason without its numbers and places in code; the system's, or the text, where it gives none."""
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.lower().replace("_", " ")
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return str(exc)
