"""Option values of the command line, checked before anything starts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from services.replay.sources.options import HistoricalOptions

SESSION_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def parse_speed(text: str) -> float:
    """Read `max` (0.0) or a factor of real time."""
    # Only here: it comes with a kernel, and help has to work without.
    from services.runtime.session.intents import SPEED_MAX

    if text.strip().lower() == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= SPEED_MAX:
        raise typer.BadParameter(f"must be `max` or a factor above 0 and up to {SPEED_MAX:g}, got {text!r}")
    return speed


def run_speed(text: str | None, *, paced: Sequence[str], time_debt: str) -> float:
    """Read the speed of a run: `max` unless `paced` names options that say how long it is between records, else 1."""
    speed = parse_speed(text if text is not None else "1" if paced else "max")
    owing = [f"--time-debt {time_debt}"] if time_debt != "catch-up" else []
    if speed == 0 and (paced or owing):
        raise typer.BadParameter(
            f"{' and '.join([*paced, *owing])} means nothing at speed max, where no record waits; give a factor of real time"
        )
    return speed


def check_session(name: str) -> str:
    """Check a session name; none is left to the server."""
    if name and not SESSION_NAME.fullmatch(name):
        raise typer.BadParameter(f"must be 1 to 64 of the characters A-Z a-z 0-9 . _ -, got {name!r}")
    return name


def in_option_names(message: str) -> str:
    """Say a server's complaint about a setting in terms of the option that it came from."""
    return SETTING.sub(lambda found: _OPTION_OF[found[0]], message)


_PACE = ("GAP_CAP", "RATE", "DELAY", "TIME_DEBT", "TIME_DEBT_LIMIT")
_OPTION_OF = {
    f"MIDSTREAM_{name}": f"--{name.lower().replace('_', '-')}"
    for name in ("LATENCY_THRESHOLD_MS", "LATENCY", "MIN_LATENCY_MS", "START", "END", "REDIS_URL", *_PACE)
}
SETTING = re.compile("|".join(rf"\b{name}\b" for name in _OPTION_OF))


@dataclass(frozen=True)
class ReplayOptions:
    """What one run of `midstream replay` does; everything that changes its output is in `fingerprint`."""

    files: tuple[str, ...]
    session: str
    speed: float
    latency_threshold_ms: str
    log_timestamp: str
    fraction_unit: str
    negative_latency: str
    min_latency_ms: str
    unsorted: str
    tickers: tuple[str, ...]
    start: str
    end: str
    mids_csv: bool
    latency: tuple[str, ...] = ()
    gap_cap: str = ""
    rate: str = ""
    delay: str = ""
    time_debt: str = "catch-up"
    time_debt_limit: str = ""

    def check_pace(self) -> None:
        """Raise StartRefused, with the setting and the fix, when these say nothing or contradict each other."""
        # Only here: it comes with the kernels, and help has to work without.
        from services.replay.engine.pace import read_pace

        read_pace(self.pace_fields())

    def pace_fields(self) -> dict[str, str]:
        """Return what says when records leave, by the names of the settings."""
        return {
            "gap_cap": self.gap_cap,
            "rate": self.rate,
            "delay": self.delay,
            "time_debt": self.time_debt,
            "time_debt_limit": self.time_debt_limit,
        }

    def historical(self) -> HistoricalOptions:
        """How the files are to be read. Raises StartRefused with the setting and the fix."""
        # Only here: it comes with the kernels, and help has to work without.
        from services.replay.engine.config import historical_options

        return historical_options(
            {
                "fraction_unit_us": self.fraction_unit == "us",
                "start": self.start,
                "end": self.end,
                "tickers": self.tickers,
                "negative_latency": self.negative_latency,
                "min_latency_ms": self.min_latency_ms or None,
                "latency": self.latency,
                "unsorted": self.unsorted,
            }
        )

    def fingerprint(self) -> dict[str, object]:
        """The options that a resumed run has to share with the one that it continues."""
        return {
            "session": self.session,
            "latency_threshold_ms": self.latency_threshold_ms,
            "log_timestamp": self.log_timestamp,
            "fraction_unit": self.fraction_unit,
            "negative_latency": self.negative_latency,
            "min_latency_ms": self.min_latency_ms,
            "unsorted": self.unsorted,
            "tickers": list(self.tickers),
            "start": self.start,
            "end": self.end,
            "mids_csv": self.mids_csv,
            # Without any the record is as it was before there were models, so that what was begun then can be continued.
            **({"latency": list(self.latency)} if self.latency else {}),
        }
