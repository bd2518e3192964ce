"""When the records of a created session leave: what its definition says, completed by the settings of the server that runs it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from protos.replay.v1.replay_pb2 import SessionDefinition as Asked
from protos.replay.v1.replay_pb2 import TimeDebt
from services.runtime.errors import InvalidRequest, StartRefused
from services.runtime.session.definition import SessionDefinition

GAPS: Final = ("gap_cap", "rate", "delay")
SETTINGS: Final = (*GAPS, "time_debt", "time_debt_limit")
"""Settings of the server, by the names that they have in its engine's configuration."""
RATE_MAX: Final = 1e9
DURATION_NS_MAX: Final = 9 * 10**18
POLICIES: Final[Mapping[int, str]] = {
    TimeDebt.POLICY_UNSPECIFIED: "",
    TimeDebt.POLICY_CATCH_UP: "catch-up",
    TimeDebt.POLICY_STRETCH: "stretch",
    TimeDebt.POLICY_FAIL: "fail",
}
_POLICY_OF: Final = {name: policy for policy, name in POLICIES.items()}
_FIELD_OF: Final = {
    "MIDSTREAM_GAP_CAP": "gap_cap_ns",
    "MIDSTREAM_RATE": "rate",
    "MIDSTREAM_DELAY": "delay_ns",
    "MIDSTREAM_TIME_DEBT": "time_debt",
    "MIDSTREAM_TIME_DEBT_LIMIT": "time_debt_limit_ns",
}
_SETTING: Final = re.compile(r"MIDSTREAM_[A-Z_]+")


def policy_message(policy: str) -> TimeDebt.Policy:
    """Put a policy into a message."""
    return cast("TimeDebt.Policy", _POLICY_OF.get(policy, TimeDebt.POLICY_UNSPECIFIED))


def paced(definition: SessionDefinition, asked: Asked) -> SessionDefinition:
    """Return the definition with what is asked for about when records leave. Raises InvalidRequest."""
    for name in ("gap_cap_ns", "delay_ns", "time_debt_limit_ns"):
        value = getattr(asked, name)
        if not 0 <= value <= DURATION_NS_MAX:
            raise InvalidRequest(f"definition.{name}", f"must be 0 (none) or up to {DURATION_NS_MAX} (got {value})")
    if not (math.isfinite(asked.rate) and 0 <= asked.rate <= RATE_MAX):
        raise InvalidRequest(
            "definition.rate",
            f"must be 0 (the gaps of the data) or records per second up to {RATE_MAX:g} (got {asked.rate})",
        )
    if asked.time_debt not in POLICIES:
        raise InvalidRequest(
            "definition.time_debt", f"must be one of {', '.join(TimeDebt.Policy.keys())} (got {asked.time_debt})"
        )
    return replace(
        definition,
        # Who says how long it is from one record to the next does not mean as fast as possible.
        speed=definition.speed or (1.0 if asked.gap_cap_ns or asked.rate or asked.delay_ns else 0.0),
        gap_cap_ns=asked.gap_cap_ns if asked.HasField("gap_cap_ns") else None,
        rate=abs(asked.rate) if asked.HasField("rate") else None,
        delay_ns=asked.delay_ns if asked.HasField("delay_ns") else None,
        time_debt=POLICIES[asked.time_debt],
        time_debt_limit_ns=asked.time_debt_limit_ns,
    )


def pace_fields(definition: SessionDefinition, server: Mapping[str, object]) -> dict[str, object]:
    """Return what says when a session's records leave, as its engine takes it. `server` is the same of its server's settings."""
    fields = {name: server.get(name) or "" for name in SETTINGS}
    if definition.names_gaps:
        fields |= {
            "gap_cap": _duration(definition.gap_cap_ns),
            "rate": definition.rate or 0.0,
            "delay": _duration(definition.delay_ns),
        }
    if definition.time_debt or definition.time_debt_limit_ns:
        fields |= {"time_debt": definition.time_debt, "time_debt_limit": _duration(definition.time_debt_limit_ns)}
    elif definition.delay_ns:
        # Nothing is ever owed then, so what the server does with debt has no meaning.
        fields |= {"time_debt": "", "time_debt_limit": ""}
    return fields


def check_pace(definition: SessionDefinition, server: Mapping[str, object]) -> None:
    """Raise InvalidRequest where a definition contradicts itself, or what it leaves to its server."""
    # Only here: it comes with the kernels, which a server without created sessions does not need.
    from services.replay.engine.pace import read_pace

    fields = pace_fields(definition, server)
    try:
        read_pace(fields)
    except StartRefused as exc:
        lent = {f"MIDSTREAM_{name.upper()}" for name in SETTINGS if fields[name] and _is_lent(definition, name)}
        message = _SETTING.sub(lambda found: found[0] if found[0] in lent else _FIELD_OF[found[0]], exc.message)
        raise InvalidRequest("definition", f"cannot be paced: {message}") from exc


def _is_lent(definition: SessionDefinition, setting: str) -> bool:
    """Whether a setting is the server's and not the definition's."""
    if setting not in GAPS:
        return not (definition.time_debt or definition.time_debt_limit_ns)
    return not definition.names_gaps


def _duration(duration_ns: int | None) -> str:
    return f"{duration_ns}ns" if duration_ns else ""
