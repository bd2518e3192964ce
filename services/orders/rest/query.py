"""Refuse parameters of an address, and members of a body, that no route has: a misspelled filter would list everything."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from services.orders.errors import Reason, denied

ANYTHING: Final = frozenset({"/metrics", "/openapi.json"})
"""Addresses whose readers bring parameters of their own."""


class KnownQueries:
    """What each route takes, as the description of the application says."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._known: dict[tuple[str, str], dict[str, bool]] = {}
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                self._known[method.upper(), path] = {
                    one["name"]: one["schema"].get("type") == "array"
                    for one in operation.get("parameters", ())
                    if one["in"] == "query"
                }

    def check(self, method: str, template: str, query: bytes) -> None:
        """Raise InvalidRequest for a parameter that the route does not take, or takes once and got twice."""
        if not query or template in ANYTHING:
            return
        known = self._known.get((method, re.sub(r":[a-z]+}", "}", template)), {})
        given = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        for name, count in given.items():
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise denied(
                    Reason.BAD_FIELD,
                    f"is no parameter of {method} {template}{nearest(name, known)}; {takes}",
                    field=name[:64],
                )
            if count > 1 and not known[name]:
                raise denied(Reason.BAD_FIELD, f"is given {count} times, and may be given once", field=name)


def check_body(body: bytes) -> None:
    """Raise InvalidRequest for a JSON object that names a member twice: one of the two would be left out in silence."""
    try:
        json.loads(body, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        # Whoever reads the body says what it is instead.
        return


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """Return a question for the name that was probably meant; empty when none is near."""
    near = difflib.get_close_matches(name.lower()[:64], known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        name, count = Counter(name for name, _ in pairs).most_common(1)[0]
        raise denied(Reason.BAD_FIELD, f"is given {count} times, and may be given once", field=name[:64])
    return made
