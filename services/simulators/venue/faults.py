"""Planned faults, when and how often: rules that can be set at the start and changed while a simulator runs.

As text: `kind[=value][@route][,option=value ...]`, several separated by `;`. Examples:

    latency=0.05..0.3                          every answer takes 50 to 300 ms longer
    lose@POST /api/v3/order,count=3            three orders are processed and their answers never arrive
    error=unavailable@* /fapi/*,chance=0.5     half of the USD-M calls get "Service Unavailable."
    flap=30/10                                 30 s up, 10 s down, again and again
    queue=4@POST *,after=10                    from the eleventh POST on the engine takes 4 s
    gap@USER,count=2                           two events of user streams are never sent
    refuse,for=10                              nobody listens for 10 s: certainly nothing is executed

Options: `count` (how often, default without end), `after` (let that many matching ones pass first), `chance` (0 to 1), `executed`
(yes or no, for `error`), `for` (seconds that the rule lives).

`refuse` closes the port for everybody, these pages included, so that a client knows that nothing of its request arrived. Which route
a request is for is known only once it was read: for one route there is `drop`, which a client cannot tell from a lost answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final

from services.runtime.json_text import read_json

RULES_MAX: Final = 100
REFUSE_S: Final = 10.0
"""How long nobody listens, where `for` does not say: whoever would end it is refused too."""


@unique
class Fault(StrEnum):
    """What can go wrong."""

    LATENCY = "latency"
    """Seconds before a request is looked at."""
    ANSWER_LATENCY = "answer-latency"
    """Seconds between processing and answering."""
    QUEUE = "queue"
    """Seconds that an order request waits before the matching engine."""
    REFUSE = "refuse"
    """Nobody listens: new connections are refused by the system, idle ones end; streams that are open go on."""
    DROP = "drop"
    """A request is read, or a handshake, and the connection ends before anything is processed."""
    LOSE = "lose"
    """Processed; the connection ends instead of an answer."""
    STALL = "stall"
    """Processed; the answer never comes, the connection stays open."""
    SWALLOW = "swallow"
    """Not processed; the answer never comes, the connection stays open."""
    GARBAGE = "garbage"
    """Processed; the body is something else."""
    TRUNCATE = "truncate"
    """Processed; half of the body arrives."""
    ERROR = "error"
    """An error by name or status; `executed` says whether it was processed all the same."""
    FLAP = "flap"
    """UP/DOWN seconds: down, requests are dropped and streams end."""
    LAG = "lag"
    """Seconds for which queries do not see a new order."""
    SKEW = "skew"
    """Seconds that the exchange's clock is ahead."""
    SILENCE = "silence"
    """Streams send nothing."""
    STREAM_DROP = "stream-drop"
    """A stream's connection ends without a word."""
    STREAM_GARBAGE = "stream-garbage"
    """A frame that cannot be used instead of one that can."""
    DELAY = "delay"
    """Seconds that user events are late, each by itself, so that they may overtake each other."""
    REORDER = "reorder"
    """A user event comes after the one behind it."""
    GAP = "gap"
    """A user event never comes."""
    REPEAT = "repeat"
    """A user event comes twice."""


TIMED: Final = frozenset({Fault.LATENCY, Fault.ANSWER_LATENCY, Fault.QUEUE, Fault.LAG, Fault.DELAY})


@dataclass
class Rule:
    """One entry of the plan, with what is left of it."""

    fault: Fault
    route: str = "*"
    low: float = 0.0
    high: float = 0.0
    name: str = ""
    count: int | None = None
    after: int = 0
    chance: float = 1.0
    executed: bool = False
    lasting_s: float | None = None
    since_ns: int = 0
    happened: int = 0
    passed: int = field(default=0, repr=False)

    def seconds(self, random: Random) -> float:
        """Draw a duration."""
        return random.uniform(self.low, self.high)

    def in_force(self, now_ns: int) -> bool:
        """Whether it may still happen."""
        over = self.lasting_s is not None and now_ns - self.since_ns > self.lasting_s * 1e9
        return not over and (self.count is None or self.happened < self.count)

    def spelled(self) -> str:
        """Return it as text, as it would be typed."""
        text = str(self.fault)
        if self.fault is Fault.FLAP:
            text += f"={self.low:g}/{self.high:g}"
        elif self.fault in TIMED or self.fault is Fault.SKEW:
            text += f"={self.low:g}" + (f"..{self.high:g}" if self.high != self.low else "")
        elif self.name:
            text += f"={self.name}"
        text += f"@{self.route}" if self.route != "*" else ""
        options: dict[str, object | None] = {
            "count": self.count,
            "after": self.after or None,
            "chance": f"{self.chance:g}" if self.chance < 1 else None,
            "executed": "yes" if self.executed else None,
            "for": f"{self.lasting_s:g}" if self.lasting_s is not None else None,
        }
        return text + "".join(f",{name}={value}" for name, value in options.items() if value is not None)


class VenueFaults:
    """The rules in force. `random` decides about chances and durations, so that a seed repeats a run."""

    def __init__(self, rules: Sequence[Rule] = (), *, random: Random) -> None:
        self._random = random
        self.rules: list[Rule] = list(rules)

    def replace(self, rules: Sequence[Rule], now_ns: int) -> None:
        """Put other rules in force, now."""
        for rule in rules:
            rule.since_ns = now_ns
        self.rules = list(rules)

    def add(self, rules: Sequence[Rule], now_ns: int) -> None:
        """Put more rules in force, now."""
        for rule in rules:
            rule.since_ns = now_ns
        self.rules = [*self.rules, *rules][-RULES_MAX:]

    def take(self, fault: Fault, route: str, now_ns: int) -> Rule | None:
        """Return the first rule that strikes this time, and count it; None when it goes well."""
        for rule in self.rules:
            if rule.fault is fault and rule.in_force(now_ns) and fnmatchcase(route, rule.route):
                rule.passed += 1
                if rule.passed > rule.after and (rule.chance >= 1 or self._random.random() < rule.chance):
                    rule.happened += 1
                    return rule
        return None

    def standing(self, fault: Fault, route: str, now_ns: int) -> Rule | None:
        """Return the first rule of a standing condition, without counting."""
        for rule in self.rules:
            if rule.fault is fault and rule.in_force(now_ns) and fnmatchcase(route, rule.route):
                return rule
        return None

    def seconds(self, fault: Fault, route: str, now_ns: int) -> float:
        """Return how long this one takes; 0 without a rule."""
        rule = self.take(fault, route, now_ns)
        return rule.seconds(self._random) if rule is not None else 0.0

    def refuses(self, now_ns: int) -> bool:
        """Whether nobody listens at this moment."""
        return self.standing(Fault.REFUSE, "", now_ns) is not None

    def is_down(self, route: str, now_ns: int) -> bool:
        """Whether a flapping rule has it down at this moment; each period begins with being up."""
        rule = self.standing(Fault.FLAP, route, now_ns)
        if rule is None:
            return False
        return ((now_ns - rule.since_ns) / 1e9) % (rule.low + rule.high) >= rule.low

    def skew_ns(self, now_ns: int) -> int:
        """Return how far the exchange's clock is ahead."""
        rule = self.standing(Fault.SKEW, "", now_ns)
        return round(rule.low * 1e9) if rule is not None else 0


def parse_faults(text: str, *, errors: Sequence[str] = ()) -> list[Rule]:
    """Return the rules of a text (see the module), or of a JSON list of texts or objects; raise ValueError naming what is wrong."""
    text = text.strip()
    if text.startswith(("[", "{", '"')):
        try:
            document = read_json(text)
        except ValueError as exc:
            raise ValueError(f"is not JSON: {exc}") from exc
        return read_faults(document, errors=errors)
    rules = [_parse_rule(part.strip(), errors) for part in text.split(";") if part.strip()]
    if len(rules) > RULES_MAX:
        raise ValueError(f"holds {len(rules)} rules; at most {RULES_MAX} are kept")
    return rules


def read_faults(payload: Any, *, errors: Sequence[str] = ()) -> list[Rule]:
    """Return the rules of decoded JSON: a text, an object with the options' names, or a list of both."""
    try:
        return _read_faults(payload, errors)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _read_faults(payload: Any, errors: Sequence[str]) -> list[Rule]:
    if isinstance(payload, str):
        return [_parse_rule(part.strip(), errors) for part in payload.split(";") if part.strip()]
    if isinstance(payload, Mapping):
        if "faults" in payload:
            return _read_faults(payload["faults"], errors)
        options = "".join(
            f",{name}={_option(value)}" for name, value in payload.items() if name not in ("fault", "value", "route")
        )
        value = f"={payload['value']}" if payload.get("value") not in (None, "") else ""
        return [_parse_rule(f"{payload.get('fault', '')}{value}@{payload.get('route', '*')}{options}", errors)]
    if isinstance(payload, list):
        return [rule for one in payload for rule in _read_faults(one, errors)]
    raise ValueError('must be text like "lose@POST *,count=3", an object like {"fault": "lose", "count": 3}, or a list')


def _option(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _parse_rule(text: str, errors: Sequence[str]) -> Rule:
    head, *options = text.split(",")
    head, _, route = head.partition("@")
    kind, _, value = head.strip().partition("=")
    try:
        fault = Fault(kind.strip())
    except ValueError:
        raise ValueError(f"`{kind}` is no fault; there are {', '.join(Fault)}") from None
    rule = Rule(fault, route=route.strip() or "*")
    _set_value(rule, value.strip(), errors)
    for option in options:
        name, _, given = option.strip().partition("=")
        _set_option(rule, name.strip(), given.strip())
    if fault is Fault.REFUSE:
        _check_refusal(rule)
    return rule


def _check_refusal(rule: Rule) -> None:
    if rule.route != "*":
        raise ValueError(
            f"`refuse@{rule.route}`: a connection is refused before anybody knows what it is for; "
            "use `refuse` for the whole port, or `drop` for one route"
        )
    if rule.count is not None or rule.after or rule.chance < 1 or rule.executed:
        raise ValueError("`refuse` takes `for=SECONDS` only: the system refuses, and nobody counts")
    rule.lasting_s = REFUSE_S if rule.lasting_s is None else rule.lasting_s


def _set_value(rule: Rule, value: str, errors: Sequence[str]) -> None:
    if rule.fault is Fault.FLAP:
        up, _, down = value.partition("/")
        rule.low, rule.high = _number(up, "flap"), _number(down, "flap")
        if rule.low + rule.high <= 0:
            raise ValueError("`flap` needs UP/DOWN seconds, such as flap=30/10")
    elif rule.fault is Fault.SKEW:
        rule.low = rule.high = _number(value, "skew", negative=True)
    elif rule.fault in TIMED:
        low, dots, high = value.partition("..")
        rule.low = _number(low, rule.fault)
        rule.high = _number(high, rule.fault) if dots else rule.low
    elif rule.fault is Fault.ERROR:
        if value not in errors and not (value.isdecimal() and 400 <= int(value) <= 599):
            raise ValueError(f"`error={value}` must be a status from 400 to 599 or one of {', '.join(errors)}")
        rule.name = value
    elif value:
        raise ValueError(f"`{rule.fault}` takes no value (got {value})")


def _set_option(rule: Rule, name: str, given: str) -> None:
    if name in ("count", "after") and given.isdecimal():
        setattr(rule, name, int(given))
    elif name == "chance":
        rule.chance = _number(given, name)
    elif name == "for":
        rule.lasting_s = _number(given, name)
    elif name == "executed" and given in ("yes", "no"):
        rule.executed = given == "yes"
    else:
        raise ValueError(
            f"`{name}={given}` is no option; there are count=N, after=N, chance=0..1, for=SECONDS, executed=yes|no"
        )


def _number(text: str, name: str, *, negative: bool = False) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (number < 0 and not negative):
        raise ValueError(f"`{name}` needs seconds or a share as a number (got `{text}`)")
    return number
