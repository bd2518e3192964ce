"""Latency models: what a run put in the place of the latencies of its files, read and recomputed."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from os.path import basename

from services.verify.quantiles import LADDER, empirical, lognormal

WORD = 2**64 - 1
LARGEST = 2**63 - 1
SCALED_MAX = 9.2e18
NAMES = ("file", "constant", "offset", "scale", "lognormal", "empirical")
UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}


class UnknownModel(Exception):
    """A model that is not known here, or does not fit the run; the text names it."""


@dataclass(frozen=True)
class Model:
    """What becomes of the latencies of one source: times `factor` plus `offset_ns`, or drawn from `quantiles`."""

    factor: float
    offset_ns: int
    follows_file: bool
    """A row that overtakes the one before it in its file may do so under the model."""
    digest: str
    """As the run names it: it tells tables of quantiles apart."""
    quantiles: tuple[int, ...] = ()
    key: int = 0
    """Of its draws: what seed and source come to."""

    def latency_ns(self, of_file_ns: int, line: int) -> int | None:
        """Return the latency of the row in a line; None: it is too large."""
        if self.quantiles:
            return _drawn(self.quantiles, _mixed((self.key + 0x9E3779B97F4A7C15 * line) & WORD))
        latency_ns = of_file_ns
        if self.factor != 1:
            product = of_file_ns * self.factor
            if not abs(product) < SCALED_MAX:
                return None
            latency_ns = round(product)
        latency_ns += self.offset_ns
        return latency_ns if -LARGEST - 1 <= latency_ns <= LARGEST else None

    def lowest_ns(self, of_file_ns: int) -> int:
        """Return what no latency is below when none of the file is below `of_file_ns`."""
        if self.quantiles:
            return self.quantiles[0]
        lowest_ns = self.latency_ns(of_file_ns, 0)
        return -LARGEST - 1 if lowest_ns is None else lowest_ns


def models_of(
    entries: Sequence[str], names: Sequence[str], latencies_of: Callable[[str], Iterable[int]]
) -> tuple[Model | None, ...]:
    """Return the model of each source by rank; None: its rows arrive as the file says. `latencies_of` reads a file that is drawn from."""
    chosen = [_chosen([_named(entry) for entry in entries], name) for name in names]
    tables: dict[str, tuple[int, ...]] = {}

    def table(text: str, make: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
        if text not in tables:
            tables[text] = make()
        return tables[text]

    return tuple(_model(text, rank, table, latencies_of) for rank, text in enumerate(chosen))


def _named(entry: str) -> tuple[str, str]:
    """Split `NAME=MODEL`: a name may have an equals sign itself, so the shortest model that is one counts last."""
    entry = entry.strip()
    places = [-1, *(found.start() for found in re.finditer("=", entry))]
    for place in places:
        model = entry[place + 1 :].strip()
        if place != 0 and model.partition(":")[0] in NAMES:
            return entry[: max(place, 0)].strip(), model
    raise UnknownModel(f"`{entry}` is no latency model that is known here")


def _chosen(entries: Sequence[tuple[str, str]], name: str) -> str:
    fitting = [
        model
        for pattern, model in entries
        if pattern in ("", name, basename(name)) or fnmatchcase(name, pattern) or fnmatchcase(basename(name), pattern)
    ]
    return fitting[-1] if fitting else "file"


def _model(
    text: str,
    rank: int,
    table: Callable[[str, Callable[[], tuple[int, ...]]], tuple[int, ...]],
    latencies_of: Callable[[str], Iterable[int]],
) -> Model | None:
    name, _, rest = text.partition(":")
    if name == "file":
        return None
    try:
        if name == "constant":
            latency_ns = _duration(rest)
            return Model(0.0, latency_ns, False, _digest(f"Constant(latency_ns={latency_ns})"))
        if name in ("offset", "scale"):
            first, _, more = rest.partition(",")
            factor = float(first) if name == "scale" else 1.0
            offset_ns = _duration(first if name == "offset" else more.partition("=")[2] or "0ns")
            return Model(factor, offset_ns, True, _digest(f"Scaled(factor={factor!r}, offset_ns={offset_ns})"))
        drawn_from, seed = _seed(rest, is_path=name == "empirical")
        if name == "empirical":
            quantiles = table(f"{name}:{drawn_from}", lambda: empirical(latencies_of(drawn_from)))
        else:
            given = dict(part.replace(" ", "").split("=") for part in drawn_from.split(",") if part.strip())
            median_ns = _duration(given["p50"] if "p50" in given else given["median"])
            p99_ns = _duration(given["p99"]) if "p99" in given else 0
            sigma = None if "p99" in given else Decimal(given["sigma"])
            quantiles = table(f"{name}:{drawn_from}", lambda: lognormal(median_ns, sigma, p99_ns))
    except (ValueError, ArithmeticError, KeyError) as error:
        raise UnknownModel(f"the latency model `{text}` cannot be read ({error!r})") from error
    key = _mixed((_mixed(seed) + 0x9E3779B97F4A7C15 * (rank + 1)) & WORD)
    return Model(1.0, 0, False, _digest(repr(("drawn", seed, quantiles))), quantiles, key)


def _seed(text: str, *, is_path: bool) -> tuple[str, int]:
    """Take the seed out: a path has it behind it, parameters have it anywhere."""
    found = re.search(r",seed=([^,]*)$" if is_path else r"(?:^|,)\s*seed\s*=([^,]*)", text)
    if found is None:
        return text.strip(), 0
    return (text[: found.start()] + text[found.end() :]).strip(), int(found[1])


def _duration(text: str) -> int:
    found = re.fullmatch(r"\s*(.*?)(ns|us|ms|s)\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration")
    return int(Decimal(found[1]) * UNITS[found[2]])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _mixed(value: int) -> int:
    """Return the finaliser of splitmix64."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB & WORD
    return value ^ value >> 31


def _drawn(quantiles: tuple[int, ...], bits: int) -> int:
    """Return what a share `bits` / 2^64 of all draws is below, on the line between two quantiles; both halves are read from their ends."""
    if bits >> 63:
        quantiles, bits = quantiles[::-1], WORD - bits
    step = bisect_right(LADDER, bits, hi=len(LADDER) - 1) - 1
    width = LADDER[step + 1] - LADDER[step]
    at, following = quantiles[step], quantiles[step + 1]
    return at + (following - at) * (bits - LADDER[step]) // width
