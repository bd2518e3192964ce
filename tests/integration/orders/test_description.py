"""The description is what the server does: a third party generates requests from it, and checks every answer against it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.support.order_faces import key_of, serving_faces

ADMIN = {"authorization": f"Bearer {key_of('admin')}"}


class Served:
    """A desk that serves in a thread of its own, for a client that blocks."""

    def __init__(self) -> None:
        self.url = ""
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serving_faces() as faces:
            self.url = faces.rest_url
            self._started.set()
            await self._stop.wait()

    def stop(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    desk = Served()
    desk.start()
    yield desk
    desk.stop()


def run(served: Served, examples: int) -> None:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
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


def test_every_route_conforms_to_the_description(served: Served) -> None:
    run(served, examples=8)


@pytest.mark.long
def test_every_route_conforms_to_the_description_at_length(served: Served) -> None:
    run(served, examples=200)
