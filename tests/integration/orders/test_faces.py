"""The same conversations over both faces have the same results, and those of the golden file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from services.orders.guards.limits import Limits
from tests.support.exchange_rules import BINANCE, BYBIT, ExchangeRules
from tests.support.order_faces import Answer, Face, GrpcFace, RestFace, rest_order, serving_faces

GOLDEN: Final = Path(__file__).with_name("golden_conversations.json")
"""Written by this test with MIDSTREAM_WRITE_GOLDEN=1; read it like code when it changes."""
CONVERSATIONS: Final = 100
TIMES: Final = ("create_time_ns", "update_time_ns", "trade_time_ns", "changed_time_ns", "age_ms", "sources")

Step = tuple[str, str, dict[str, Any]]


def conversation(number: int) -> list[Step]:
    """Return the steps of a conversation: operation, key, arguments. `$n` stands for the id of the n-th order of it."""
    random = Random(number)
    steps: list[Step] = []
    placed = 0
    for turn in range(random.randint(4, 9)):
        draw = random.random()
        key = random.choice(("trade", "trade", "trade", "trade", "admin", "read", "stranger", ""))
        target = f"${random.randrange(placed)}" if placed else "no-such-order"
        if draw < 0.4 or not placed:
            steps.append(("place", key, _order(random, f"c{number}-{turn}")))
            placed += 1
        elif draw < 0.5:
            again = next(step for step in steps if step[0] == "place")
            changes = {} if random.random() < 0.5 else {"quantity": "0.9"}
            steps.append(("place", again[1], {**again[2], **changes}))
            placed += 1
        elif draw < 0.65:
            steps.append(("amend", key, {"order_id": target, **_amend(random)}))
        elif draw < 0.78:
            steps.append(("cancel", key, {"order_id": target}))
        elif draw < 0.86:
            steps.append(("get", key, {"order_id": target}))
        elif draw < 0.9:
            steps.append(("find", key, {"states": random.sample(("NEW", "FILLED", "CANCELED"), 2), "page_size": 3}))
        elif draw < 0.93:
            steps.append(
                ("cancel_many", key, {"order_ids": [target, "nobody"]} if random.random() < 0.5 else {"all": True})
            )
        elif draw < 0.96:
            steps.append(("fills", key, {"symbol": "BTC/USDT", "page_size": 2}))
        elif draw < 0.98:
            steps.append(("active", key, {}))
        else:
            steps.append(("instruments", key, {"kind": "perpetual"}))
    return [*steps, ("cancel_many", "trade", {"all": True})]


def _order(random: Random, key: str) -> dict[str, Any]:
    changes: dict[str, Any] = {"idempotency_key": key, "side": random.choice(("BUY", "SELL"))}
    changes["price"] = {"BUY": "99", "SELL": "101"}[changes["side"]]
    kind = random.random()
    if kind < 0.25:
        changes.update(type="MARKET", price=None)
    elif kind < 0.35:
        changes.update(time_in_force=random.choice(("IOC", "FOK", "GTC")))
    elif kind < 0.6:
        field, value = random.choice(
            (
                ("quantity", "0"), ("quantity", "-1"), ("quantity", "NaN"), ("quantity", "1e5"), ("quantity", "0.0001"),
                ("price", "99.05"), ("price", "1"), ("price", None), ("symbol", "BTC/EUR"), ("exchange", "kraken"),
                ("idempotency_key", ""), ("client_order_id", "a b"), ("valid_for_ms", 60_001), ("reduce_only", True),
            )
        )  # fmt: skip
        changes[field] = value
    return rest_order(**changes)


def _amend(random: Random) -> dict[str, Any]:
    return random.choice(
        ({"price": "98"}, {"quantity": "0.7"}, {"quantity": "0.7", "price": "98.5"}, {"price": "98.05"}, {})
    )


async def held(face: Face, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Hold a conversation; return its answers without times."""
    orders: list[str] = []
    answers = []
    for operation, key, arguments in steps:
        given = {name: _resolved(value, orders) for name, value in arguments.items()}
        answer: Answer = await getattr(face, operation)(key, **given)
        if operation == "place":
            orders.append(answer.body["order_id"] if answer.body else "never-placed")
        answers.append({"code": answer.code, "reason": answer.reason, "body": _timeless(answer.body)})
    return answers


def _elsewhere(given: dict[str, Any], rules: ExchangeRules) -> dict[str, Any]:
    return {**given, "exchange": rules.exchange} if given.get("exchange") == BINANCE.exchange else given


def _resolved(value: Any, orders: list[str]) -> Any:
    if isinstance(value, list):
        return [_resolved(one, orders) for one in value]
    return orders[int(value[1:])] if isinstance(value, str) and value.startswith("$") else value


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        # What is empty says nothing, and would make the golden file three times as long.
        kept = {name: _timeless(part) for name, part in value.items() if name not in (*TIMES, "next_page_token")}
        return {name: part for name, part in kept.items() if part not in ("", False, None)}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


async def all_held(kind: str, rules: ExchangeRules = BINANCE) -> list[dict[str, Any]]:
    """Hold all conversations over one face of a fresh desk, about orders at one exchange."""
    found = []
    async with serving_faces(seed=7, venues=[rules], limits=Limits(orders_per_second=1e6)) as faces:
        face = GrpcFace(faces.grpc_port) if kind == "grpc" else RestFace(faces.rest_url)
        try:
            for number in range(CONVERSATIONS):
                steps = [(operation, key, _elsewhere(given, rules)) for operation, key, given in conversation(number)]
                found.append({"number": number, "steps": steps, "answers": await held(face, steps)})
        finally:
            await face.close()
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


async def test_a_hundred_conversations_have_the_same_results_over_both_faces(subtests: pytest.Subtests) -> None:
    over_grpc = await all_held("grpc")
    over_rest = await all_held("rest")
    if os.environ.get("MIDSTREAM_WRITE_GOLDEN"):
        lines = ",\n".join(json.dumps(talk, sort_keys=True) for talk in over_grpc)
        GOLDEN.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))

    codes = {answer["code"] for talk in golden for answer in talk["answers"]}
    assert codes >= {
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
    }
    for expected, one, other in zip(golden, over_grpc, over_rest, strict=True):
        with subtests.test(conversation=expected["number"]):
            assert one == expected
            assert other == expected


@pytest.mark.long
async def test_conversations_about_another_exchange_have_the_same_results_over_both_faces() -> None:
    over_grpc, over_rest = await all_held("grpc", BYBIT), await all_held("rest", BYBIT)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))

    assert over_grpc == over_rest
    # Where an order is decides how it is amended, and nothing of what is placed, refused, cancelled or found.
    kinds = [[step[0] for step in talk["steps"]] for talk in golden]
    for expected, told, operations in zip(golden, over_grpc, kinds, strict=True):
        if "amend" not in operations:
            codes = [(answer["code"], answer["reason"]) for answer in told["answers"]]
            assert codes == [(answer["code"], answer["reason"]) for answer in expected["answers"]]
