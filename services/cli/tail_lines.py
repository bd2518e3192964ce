"""How records look: lines in columns for people, objects for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clients.rpc.records import Mid, Tick
from protos.common.v1.market_pb2 import Marker, Mode, Rejection
from services.cli.shown_times import shown_time
from services.cli.terminal import one_line

AMOUNTS_COLUMNS_MIN: Final = 120
DATES_COLUMNS_MIN: Final = 110
EVENTS_COLUMNS_MIN: Final = 96
DELAYS_COLUMNS_MIN: Final = 64
"""A narrower terminal goes without amounts, then without dates in each line, then it has delays in place of event times and no
sequences, then neither."""

_MISSING: Final = "-"
PRICES: Final[Sequence[str]] = ("bid_price", "bid_amount", "ask_price", "ask_amount")


class Lines:
    """Puts records into columns that are as wide as what has been in them so far."""

    def __init__(self, columns: int | None) -> None:
        """`columns` is the terminal's width; None is a file or a pipe, which takes everything."""
        wide = columns if columns is not None else AMOUNTS_COLUMNS_MIN
        self._amounts = wide >= AMOUNTS_COLUMNS_MIN
        self._dates = wide >= DATES_COLUMNS_MIN
        self._events = wide >= EVENTS_COLUMNS_MIN
        self._delays = not self._events and wide >= DELAYS_COLUMNS_MIN
        self._widths: dict[str, int] = {}
        self._date = ""

    def heading(self, *, mids: bool) -> str:
        """Return the names of the columns."""
        cells = {"sequence": "sequence", "arrival": "arrival", "event": "event", "delay": "delay", "ticker": "ticker"}
        cells |= {"mid": "mid"} if mids else {"bid": "bid", "bid_x": "", "ask": "ask", "ask_x": ""}
        return self._line(cells)

    def of(self, record: Tick | Mid | Marker | Rejection) -> list[str]:
        """Return the line of a record, with one before it where another day begins and lines do not say which."""
        if isinstance(record, Marker):
            return [f"-- {one_line(marker_text(record))}"]
        if isinstance(record, Rejection):
            return [f"-- rejected {one_line(f'{record.source}:{record.line}: {record.reason}')}"]
        cells = {
            "sequence": str(record.sequence),
            "arrival": self._time(record.arrival_time_ns),
            "event": self._time(record.event_time_ns),
            "delay": f"{(record.arrival_time_ns - record.event_time_ns) / 1e6:+.1f} ms",
            "ticker": one_line(record.ticker),
        }
        if isinstance(record, Mid):
            cells["mid"] = number(record.mid_price)
        else:
            cells |= {
                "bid": number(record.bid_price),
                "bid_x": f"x {number(record.bid_amount)}",
                "ask": number(record.ask_price),
                "ask_x": f"x {number(record.ask_amount)}",
            }
        line = self._line(cells)
        day = shown_time(record.arrival_time_ns)[:10]
        if self._dates or day == self._date:
            return [line]
        self._date = day
        return [f"-- {day}", line]

    def _time(self, time_ns: int) -> str:
        text = shown_time(time_ns)
        return text if self._dates else text[11:]

    def _line(self, cells: Mapping[str, str]) -> str:
        shown = []
        for name, text in cells.items():
            if not self._is_shown(name):
                continue
            width = self._widths[name] = max(self._widths.get(name, 0), len(text))
            shown.append(text.rjust(width) if name in ("sequence", "delay", "bid", "ask", "mid") else text.ljust(width))
        return "  ".join(shown).rstrip()

    def _is_shown(self, name: str) -> bool:
        if name in ("bid_x", "ask_x"):
            return self._amounts
        if name == "delay":
            return self._delays
        return self._events or name not in ("sequence", "event")


def number(value: float) -> str:
    """Return the shortest text that reads back as the same number; a dash for none."""
    return _MISSING if math.isnan(value) else repr(value)


def marker_text(marker: Marker) -> str:
    """Say what happened between two records."""
    reason = f": {marker.reason}" if marker.reason else ""
    match marker.kind:
        case Marker.KIND_SEAM:
            revision = f", revision {marker.revision}" if marker.revision else ""
            return f"seam: {mode_name(marker.previous_mode)} to {mode_name(marker.mode)}{revision}{_seam_figures(marker)}{reason}"
        case Marker.KIND_DISCONNECTED:
            return f"live feed disconnected{reason}"
        case Marker.KIND_RECONNECTED:
            return f"live feed connected again{reason}"
        case Marker.KIND_GAP:
            lost = f"{marker.lost_frames:,} live frames" if marker.lost_frames else "live records"
            return f"gap: {lost} missing{reason}"
        case Marker.KIND_DISCONTINUITY:
            where = shown_time(marker.position_arrival_time_ns) if marker.position_arrival_time_ns else "the beginning"
            revision = f", revision {marker.revision}" if marker.revision else ""
            return f"moved to {where}: {len(marker.state)} tickers have a quote{revision}{reason}"
    return f"marker {marker.kind}{reason}"


def _seam_figures(marker: Marker) -> str:
    removed = f", {marker.overlap_removed:,} records that history had left out" if marker.overlap_removed else ""
    return removed + (f", {marker.gap_ns / 1e9:,.3f} s apart" if marker.gap_ns else "")


def mode_name(mode: Mode) -> str:
    """Return what people call a mode."""
    return Mode.Name(mode).removeprefix("MODE_").lower() if mode in Mode.values() else str(int(mode))


def figures(record: Tick | Mid | Marker | Rejection, epoch: str) -> dict[str, Any]:
    """Return a record as --json shows it."""
    if isinstance(record, Marker):
        kind = Marker.Kind.Name(record.kind).removeprefix("KIND_").lower()
        return {
            "type": "marker",
            "epoch": epoch,
            "sequence": record.sequence,
            "kind": kind,
            "previous_mode": mode_name(record.previous_mode),
            "mode": mode_name(record.mode),
            "time_ns": record.time_ns,
            "reason": record.reason,
            "lost_frames": record.lost_frames,
            "revision": record.revision,
            "overlap_removed": record.overlap_removed,
            "gap_ns": record.gap_ns,
            "position_arrival_time_ns": record.position_arrival_time_ns,
            "state": [
                {
                    "ticker": quote.ticker,
                    "event_time_ns": quote.event_time_ns,
                    "arrival_time_ns": quote.arrival_time_ns,
                    **{name: finite(getattr(quote, name)) for name in PRICES},
                }
                for quote in record.state
            ],
        }
    if isinstance(record, Rejection):
        return {
            "type": "rejection",
            "epoch": epoch,
            "sequence": record.sequence,
            "source": record.source,
            "line": record.line,
            "reason": record.reason,
            "raw": record.raw.decode("utf-8", "backslashreplace"),
        }
    common = {
        "epoch": epoch,
        "sequence": record.sequence,
        "mode": mode_name(record.mode),
        "ticker": record.ticker,
        "event_time_ns": record.event_time_ns,
        "arrival_time_ns": record.arrival_time_ns,
    }
    if isinstance(record, Mid):
        return {"type": "mid", **common, "mid_price": finite(record.mid_price)}
    return {"type": "tick", **common, **{name: finite(getattr(record, name)) for name in PRICES}}


def finite(value: float) -> float | None:
    """Return a number as JSON has it, which knows no NaN."""
    return value if math.isfinite(value) else None
