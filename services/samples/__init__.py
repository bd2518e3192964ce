"""The sample data that servers play where nothing else is named; data/README.md tells what is in it."""

from services.samples.files import HISTORICAL, LIVE

__all__ = ["HISTORICAL", "LIVE"]
