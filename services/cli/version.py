"""Which version this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version of the installed package; of a tree that is not installed there is none to tell."""
    try:
        return metadata.version("midstream")
    except metadata.PackageNotFoundError:
        return "(not installed)"
