"""What `midstream orders settle` prints of an order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clients.rpc import ChannelSettings
from protos.orders.v1 import orders_pb2 as pb
from services.cli import orders_command


class _Line:
    """Answers with an order that was open at an exchange that has closed."""

    def __init__(self, *_: Any) -> None:
        pass

    def call(self, *_: Any, **__: Any) -> pb.SettleOrderResponse:
        order = pb.Order(order_id="1", state=pb.ORDER_STATE_EXPIRED, ended_by=pb.ENDED_BY_EXCHANGE, reason="looked")
        return pb.SettleOrderResponse(order=order)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("as_json", [False, True])
def test_why_an_order_ended_stands_beside_its_state(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(orders_command, "Line", _Line)
    words = {"exchange_order_id": "", "reason": "looked", "evidence": "", "key_file": ""}

    code = orders_command.run_settle(
        "1", not_there=True, as_json=as_json, channel=ChannelSettings(api_key="k"), **words
    )

    said = capsys.readouterr().out
    assert code == 0
    assert json.loads(said)["ended_by"] == "EXCHANGE" if as_json else said.strip() == "1  EXPIRED by EXCHANGE  looked"
