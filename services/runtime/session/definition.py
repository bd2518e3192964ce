"""What a created session replays: what CreateSession was given, completed and checked. The replay server writes it, everybody reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from services.runtime.errors import InvalidRequest
from services.runtime.json_text import read_json, short_reason
from services.runtime.session.partitions import Partitioning
from services.runtime.session.versions import check_version

VERSION: Final = 1


@dataclass(frozen=True)
class SessionDefinition:
    """One definition. In Redis it is one flat JSON object, so that people can read it there."""

    files: tuple[str, ...] = ()
    live_url: str = ""
    mode: int = 0
    """Where ticks come from at first, as in market.proto."""
    speed: float = 0.0
    """Factor of real time at first; 0 is as fast as possible."""
    start_time_ns: int | None = None
    """First arrival time; None is from the beginning."""
    end_time_ns: int | None = None
    tickers: tuple[str, ...] = ()
    latency: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    """Sinks that work through the session, and that it waits for."""
    private: bool = False
    """Whether it is one reader's own."""
    gap_cap_ns: int | None = None
    """Longest gap between two records. Of this, `rate` and `delay_ns` one at most is above 0; with all of them None the server's count."""
    rate: float | None = None
    """Records per second in place of the gaps."""
    delay_ns: int | None = None
    """From one record to the next in place of the gaps."""
    time_debt: str = ""
    """catch-up, stretch or fail; empty is the server's."""
    time_debt_limit_ns: int = 0
    """What it may be behind (fail); 0 is the default."""
    partitions: int = 1
    """In how many parts its ticks are published."""
    created_time_ns: int = 0
    """When it was created, which tells it from an earlier session of the same name."""

    def is_same(self, other: SessionDefinition) -> bool:
        """Tell whether both replay the same, whenever they were created."""
        return replace(self, created_time_ns=0) == replace(other, created_time_ns=0)

    @property
    def names_gaps(self) -> bool:
        """Whether it says itself how long it is from one record to the next."""
        return any(value is not None for value in (self.gap_cap_ns, self.rate, self.delay_ns))

    def encode(self) -> str:
        """Return the definition as it lies in Redis."""
        return json.dumps({"version": VERSION, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def decode(cls, session: str, stored: bytes | str) -> SessionDefinition:
        """Read the definition of `session`. Raises NewerVersion, and ValueError on what cannot be read."""
        try:
            fields: dict[str, Any] = read_json(stored)
            check_version(f"the definition of session `{session}`", fields.get("version"), VERSION)
            return cls(
                files=_texts(fields, "files"),
                live_url=str(fields.get("live_url") or ""),
                mode=int(fields["mode"]),
                speed=float(fields["speed"]),
                start_time_ns=_whole(fields, "start_time_ns"),
                end_time_ns=_whole(fields, "end_time_ns"),
                tickers=_texts(fields, "tickers"),
                latency=_texts(fields, "latency"),
                sinks=_texts(fields, "sinks"),
                private=fields.get("private") is True,
                gap_cap_ns=_whole(fields, "gap_cap_ns"),
                rate=None if fields.get("rate") is None else float(fields["rate"]),
                delay_ns=_whole(fields, "delay_ns"),
                time_debt=str(fields.get("time_debt") or ""),
                time_debt_limit_ns=_whole(fields, "time_debt_limit_ns") or 0,
                partitions=Partitioning(int(fields.get("partitions") or 1)).count,
                created_time_ns=int(fields["created_time_ns"]),
            )
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, InvalidRequest) as exc:
            raise ValueError(f"the definition of session `{session}` cannot be read ({short_reason(exc)})") from exc


def _texts(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(str(text) for text in fields.get(name) or ())


def _whole(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else int(value)
