"""`midstream orders settle`: tell the orders server how an order is that it cannot find out about."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import grpc

from clients.rpc import ChannelSettings, Line, UnusableChannel
from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.cli.output import ExitCode, fail, show
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.runtime.errors import StartRefused

TIMEOUT_S = 20.0


def run_settle(
    order_id: str,
    *,
    not_there: bool,
    exchange_order_id: str,
    reason: str,
    evidence: str,
    key_file: str,
    as_json: bool,
    channel: ChannelSettings,
) -> int:
    """Settle an order and print what it is now."""
    address = address_of("orders")
    request = pb.SettleOrderRequest(
        order_id=order_id,
        not_there=not_there,
        exchange_order_id=exchange_order_id,
        reason=reason,
        evidence=evidence,
    )
    line = Line(address, replace(channel, api_key=_key(key_file, channel.api_key)))
    try:
        answer = line.call(lambda opened: OrderServiceStub(opened).SettleOrder, request, timeout_s=TIMEOUT_S)
    except UnusableChannel as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
    except grpc.RpcError as exc:
        said = explain("orders", address, exc, channel)
        return fail(said.message, said.exit_code, as_json=as_json, status=exc.code().name)
    finally:
        line.close()
    order = answer.order
    state = pb.OrderState.Name(order.state).removeprefix("ORDER_STATE_")
    cause = pb.EndedBy.Name(order.ended_by).removeprefix("ENDED_BY_") if order.ended_by else None
    figures = {"order_id": order.order_id, "state": state, "reason": order.reason, "already": answer.already}
    figures["ended_by"] = cause
    ended = state if cause is None else f"{state} by {cause}"
    sentence = f"{order.order_id}  {ended}{' (settled before)' if answer.already else ''}  {order.reason}".rstrip()
    return show(sentence, {**figures, "exchange_order_id": order.exchange_order_id or None}, as_json=as_json)


def _key(key_file: str, named: str) -> str:
    """Read the key: a command line would show it to everybody on the machine."""
    if not key_file:
        if not named:
            raise StartRefused("no key: name its file with --key-file, or set MIDSTREAM_API_KEY")
        return named
    try:
        text = sys.stdin.readline() if key_file == "-" else Path(key_file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise StartRefused(f"the key cannot be read from `{key_file}`: {exc}") from exc
    if not text.strip():
        raise StartRefused(f"`{key_file}` holds no key; `midstream keys create --role admin` prints one")
    return text.strip()
