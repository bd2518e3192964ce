"""The description is what the server does: a third party generates requests from it, and checks every answer against it."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.support.order_faces import ServedDesk, key_of

ADMIN = {"authorization": f"Bearer {key_of('admin')}"}


def run(served_desk: ServedDesk, examples: int) -> None:
    schema = schemathesis.openapi.from_url(f"{served_desk.url}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == "/v1/orders/events":
            # A stream does not end, so nobody can wait for its answer.
            continue
        conforms_in(operation, examples)


def conforms_in(operation: Any, examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        derandomize=True,
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def conforms(case: schemathesis.Case) -> None:
        # What the schema allows may still be denied: a lot, a band, a limit are no matter of schemas. And the key is given with
        # every request, also with those by which the check of keys wants to be refused; test_access does that.
        case.call_and_validate(headers=ADMIN, excluded_checks=[positive_data_acceptance, ignored_auth])

    conforms()


def test_every_route_conforms_to_the_description(served_desk: ServedDesk) -> None:
    run(served_desk, examples=8)


@pytest.mark.nightly
def test_every_route_conforms_to_the_description_at_length(served_desk: ServedDesk) -> None:
    run(served_desk, examples=200)
