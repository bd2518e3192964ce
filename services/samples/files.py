"""Where the sample data lies: beside this module, so that it is installed with the servers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).resolve().parent
HISTORICAL: Final = _FOLDER / "historical_sample.csv"
LIVE: Final = _FOLDER / "live_sample.csv"
