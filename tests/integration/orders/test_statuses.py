"""The status of a placement is true: what is not placed does not look as if it were, and repetitions answer alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from clients.exchanges.errors import CallerMustAct, ExchangeError, TryLater
from clients.resilience.outcome import Outcome
from services.orders.domain import TradingMode
from tests.support.order_faces import Faces, GrpcFace, RestFace, key_of, rest_order, serving_faces
from tests.support.scripted_orders import Fault

REFUSED: ExchangeError = CallerMustAct("binance", "place", Outcome.REJECTED, "insufficient balance", code="-2010")
NO_KEY: ExchangeError = CallerMustAct("binance", "place", Outcome.AUTH, "key revoked", code="-2015")
BANNED: ExchangeError = TryLater("binance", "place", Outcome.THROTTLED, "banned", code="-1003", retry_after_s=119.2)


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Faces, RestFace]]:
    async with serving_faces(**options) as faces:
        rest = RestFace(faces.rest_url)
        yield faces, rest
        await rest.close()


async def post(rest: RestFace, key: str, **changes: Any) -> Any:
    body = rest_order(**changes)
    del body["idempotency_key"]
    headers = {"authorization": f"Bearer {key_of('trade')}", "idempotency-key": key}
    return await rest.client.post("/v1/orders", json=body, headers=headers)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("fault", "status", "state", "retry_after"),
    [
        (Fault(), 201, "NEW", None),
        (Fault(error=REFUSED), 422, "REJECTED", None),
        (Fault(error=NO_KEY), 503, "NOT_PLACED", "1"),
        (Fault(error=BANNED), 503, "NOT_PLACED", "120"),
        (Fault(lose=True), 202, "UNKNOWN", None),
    ],
    ids=["placed", "rejected", "key", "banned", "lost"],
)
async def test_the_status_tells_what_became_of_it(
    fault: Fault, status: int, state: str, retry_after: str | None
) -> None:
    async with serving() as (faces, rest):
        faces.trading.venue.stream_mute = True
        faces.trading.venue.script("place", fault)

        answer = await post(rest, "k")
        again = await post(rest, "k")

        assert (answer.status_code, answer.json()["state"]) == (status, state)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["location"] == f"/v1/orders/{answer.json()['order_id']}"
        assert answer.headers.get("retry-after") == retry_after
        assert again.json()["order_id"] == answer.json()["order_id"]
        if state != "UNKNOWN":
            assert again.status_code == {201: 200}.get(status, status)
            assert (again.headers.get("retry-after") is None) == (retry_after is None)
        assert len(faces.trading.venue.sent("place")) == 1


async def test_an_unknown_order_has_the_status_of_what_it_turned_out_to_be() -> None:
    async with serving() as (faces, rest):
        faces.trading.venue.stream_mute = True
        faces.trading.venue.script("place", Fault(lose=True))

        first = await post(rest, "k")
        await faces.trading.settled(first.json()["order_id"])
        later = await post(rest, "k")

        assert (first.status_code, later.status_code, later.json()["state"]) == (202, 200, "NEW")


async def test_a_dry_run_does_what_it_is_for() -> None:
    async with serving(mode=TradingMode.DRY_RUN) as (_, rest):
        first, again = await post(rest, "k"), await post(rest, "k")

        assert [one.status_code for one in (first, again)] == [200, 200]
        assert first.json()["state"] == "NOT_PLACED"


async def test_what_is_denied_here_stays_a_problem() -> None:
    async with serving() as (_, rest):
        denied = await post(rest, "k", quantity="0.0015")

        assert denied.status_code == 400
        assert denied.headers["content-type"] == "application/problem+json"


async def test_over_grpc_the_call_succeeds_and_the_state_tells() -> None:
    async with serving() as (faces, _):
        faces.trading.venue.script("place", Fault(error=REFUSED))
        grpc = GrpcFace(faces.grpc_port)
        answer = await grpc.place("trade", **rest_order())
        await grpc.close()

        assert (answer.code, answer.body["state"]) == ("OK", "REJECTED")
