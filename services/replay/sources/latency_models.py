"""Latency models as people write them: what is put in place of the latencies of recorded files, source by source.

    file                                        as the file has it (default)
    constant:5ms                                the same for every row
    offset:5ms   scale:1.5   scale:1.5,offset=-2ms
    lognormal:median=5ms,sigma=0.8,seed=7       or lognormal:p50=5ms,p99=40ms
    empirical:other.csv,seed=7                  drawn from the latencies of another file

`NAME=MODEL` is for the sources whose name or base name is NAME, which may have wildcards; the last one that fits counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from os.path import basename
from typing import Final

from services.replay.sources.errors import UnusableInput

LATENCY_NS_MAX: Final = 9 * 10**18
SEED_END: Final = 2**64
SIGMA_MAX: Final = Decimal(16)
"""Beyond, one draw in ten is longer than a billion times the median."""
FACTOR_MAX: Final = 1e9

_UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_DURATION: Final = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(ns|us|ms|s)")
_FORMS: Final = {
    "file": "file",
    "constant": "constant:5ms",
    "offset": "offset:5ms",
    "scale": "scale:1.5 or scale:1.5,offset=2ms",
    "lognormal": "lognormal:p50=5ms,p99=40ms or lognormal:median=5ms,sigma=0.8, and ,seed=7 behind either",
    "empirical": "empirical:FILE or empirical:FILE,seed=7",
}
_NUMBER: Final = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\s*")
_NAMED: Final = re.compile(rf"({'|'.join(_FORMS)})(?::(.*))?", re.DOTALL)
_SEED: Final = re.compile(r"(.*),seed=([^,]*)", re.DOTALL)


@dataclass(frozen=True)
class AsRecorded:
    """The latencies of the file."""


@dataclass(frozen=True)
class Scaled:
    """The latencies of the file times a factor plus an offset."""

    factor: float
    offset_ns: int


@dataclass(frozen=True)
class Constant:
    """One latency for every row."""

    latency_ns: int


@dataclass(frozen=True)
class Lognormal:
    """Draws whose logarithm has a normal distribution. `sigma` is given, or follows from the 99th percentile."""

    median_ns: int
    sigma: Decimal | None
    p99_ns: int | None
    seed: int


@dataclass(frozen=True)
class Empirical:
    """Draws from the latencies that the rows of another file have."""

    path: str
    seed: int


LatencyForm = AsRecorded | Scaled | Constant | Lognormal | Empirical


@dataclass(frozen=True)
class LatencyEntry:
    """One model, for all sources or for those that a pattern names."""

    pattern: str
    form: LatencyForm
    text: str
    """The model as it was written."""

    def fits(self, name: str) -> bool:
        """Tell whether it is meant for a source."""
        return (
            not self.pattern
            or self.pattern in (name, basename(name))
            or fnmatchcase(name, self.pattern)
            or fnmatchcase(basename(name), self.pattern)
        )


FROM_FILE: Final = LatencyEntry("", AsRecorded(), "file")


def split_entries(text: str) -> tuple[str, ...]:
    """Return the entries of a setting: separated by semicolons, or a JSON list."""
    if text.lstrip().startswith("["):
        try:
            return tuple(str(part) for part in json.loads(text))
        except ValueError as exc:
            raise UnusableInput(
                f"MIDSTREAM_LATENCY: {text!r} is no JSON list ({exc}); separate models by semicolons"
            ) from exc
    return tuple(part.strip() for part in text.split(";") if part.strip())


def parse_entry(text: str) -> LatencyEntry:
    """Read `MODEL` or `NAME=MODEL`. Raises UnusableInput with the fix."""
    text = text.strip()
    model = _NAMED.fullmatch(text)
    if model is not None:
        return LatencyEntry("", _parse_form(model[1], model[2], text), text)
    # A name may have an equals sign itself, and so may the model: the shortest model that is one counts.
    for place in [match.start() for match in re.finditer("=", text)]:
        model = _NAMED.fullmatch(text[place + 1 :].strip())
        if model is not None and place > 0:
            return LatencyEntry(text[:place].strip(), _parse_form(model[1], model[2], text), model[0])
    raise _wrong(text, f"is no latency model; write {_either(_FORMS)}, with NAME= in front for one source only")


def assign(entries: Sequence[LatencyEntry], names: Sequence[str]) -> tuple[LatencyEntry, ...]:
    """Return the entry of each source. Raises UnusableInput when an entry is for none of them."""
    for entry in entries:
        if not any(entry.fits(name) for name in names):
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise UnusableInput(
                f"MIDSTREAM_LATENCY: no source is named `{entry.pattern}`, for which `{entry.text}` is meant; the sources are {shown}"
            )
    return tuple(next((entry for entry in reversed(entries) if entry.fits(name)), FROM_FILE) for name in names)


def parse_duration(text: str) -> int:
    """Return nanoseconds. Raises ValueError with the fix."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write a number and ns, us, ms or s, like 5ms")
    nanoseconds = Decimal(found[1]) * _UNITS[found[2]]
    if nanoseconds != int(nanoseconds):
        raise ValueError(f"{text!r} is no whole number of nanoseconds; round it")
    if abs(nanoseconds) > LATENCY_NS_MAX:
        raise ValueError(f"{text!r} is longer than 285 years; write a shorter one")
    return int(nanoseconds)


def _parse_form(name: str, rest: str | None, text: str) -> LatencyForm:
    try:
        if name == "file":
            if rest is not None:
                raise ValueError("`file` takes nothing behind it")
            return AsRecorded()
        if not rest:
            raise ValueError(f"`{name}` needs a value")
        if name == "empirical":
            seeded = _SEED.fullmatch(rest)
            path, seed = (seeded[1], _seed(seeded[2])) if seeded else (rest, 0)
            return Empirical(path.strip(), seed)
        if name == "constant":
            return Constant(parse_duration(rest))
        if name == "offset":
            return Scaled(1.0, parse_duration(rest))
        if name == "scale":
            factor, comma, more = rest.partition(",")
            given = _pairs(more, ("offset",)) if comma else {}
            return Scaled(_factor(factor), parse_duration(given.get("offset", "0ns")))
        return _lognormal(_pairs(rest, ("median", "sigma", "p50", "p99", "seed")))
    except ValueError as exc:
        raise _wrong(text, f"cannot be used: {exc}; write {_FORMS[name]}") from exc


def _pairs(text: str, names: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in names:
            raise ValueError(f"`{part}` is none of {', '.join(f'{known}=' for known in names)}")
        if name in found:
            raise ValueError(f"`{name}` is given twice")
        found[name] = value
    return found


def _lognormal(given: Mapping[str, str]) -> Lognormal:
    seed = _seed(given.get("seed", "0"))
    if set(given) - {"seed"} == {"median", "sigma"}:
        median_ns, sigma, p99_ns = parse_duration(given["median"]), _sigma(given["sigma"]), None
    elif set(given) - {"seed"} == {"p50", "p99"}:
        median_ns, sigma, p99_ns = parse_duration(given["p50"]), None, parse_duration(given["p99"])
        if p99_ns < median_ns:
            raise ValueError("p99 is below p50")
    else:
        raise ValueError("it takes p50 and p99, or median and sigma")
    if median_ns <= 0:
        raise ValueError("the median must be above zero")
    return Lognormal(median_ns, sigma, p99_ns, seed)


def _sigma(text: str) -> Decimal:
    sigma = Decimal(text.strip()) if _NUMBER.fullmatch(text) else None
    if sigma is None or not 0 <= sigma <= SIGMA_MAX:
        raise ValueError(f"sigma {text!r} is not a number from 0 to {SIGMA_MAX}")
    return sigma


def _factor(text: str) -> float:
    factor = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not 0 <= factor <= FACTOR_MAX:
        raise ValueError(f"the factor {text!r} is not a number from 0 to {FACTOR_MAX:g}")
    return factor


def _seed(text: str) -> int:
    if not re.fullmatch("[0-9]{1,20}", text.strip()) or int(text) >= SEED_END:
        raise ValueError(f"the seed {text!r} is not a whole number below 2^64")
    return int(text)


def _either(forms: Mapping[str, str]) -> str:
    *most, last = (f"`{form.split(' or ')[0]}`" for form in forms.values())
    return f"{', '.join(most)} or {last}"


def _wrong(text: str, problem: str) -> UnusableInput:
    return UnusableInput(f"MIDSTREAM_LATENCY: `{text}` {problem}")
