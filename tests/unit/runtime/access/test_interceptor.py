"""Admission of gRPC calls: decided before anything is read, for methods of every kind; what is open ends with its caller's rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.runtime.access import AccessGate, Role, roles
from services.runtime.access.current import current_identity
from services.runtime.access.interceptor import AccessInterceptor
from services.runtime.access.open_calls import OpenCalls
from services.runtime.errors import Unauthenticated, Unavailable
from services.runtime.interceptors import CallInterceptor, begins_itself
from services.runtime.metrics import Metrics
from tests.support.callers import NamedCallers, bearer
from tests.support.calls import NAME, TestServicer
from tests.support.waiting import until

UNAUTHENTICATED, DENIED, OK = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.OK,
)
TABLE = {"Unary": Role.TRADE, "Stream": Role.READ, "Collect": Role.CONTROL, "Chat": Role.READ}
"""`TypedChat`, `Who` and the others have no row."""


class Servicer(TestServicer):
    """Counts what gets through to it."""

    def __init__(self) -> None:
        super().__init__()
        self.handled = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        super().add_to(server)
        handlers = {
            "Who": grpc.unary_unary_rpc_method_handler(self.who),
            "Held": grpc.unary_stream_rpc_method_handler(self.held),
            "Written": grpc.unary_stream_rpc_method_handler(self.written),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("midstream.test.v1.More", handlers),))

    async def _act(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        self.handled += 1
        return await super()._act(request, context)

    async def who(self, _request: bytes, _context: Any) -> bytes:
        return current_identity().name.encode()

    @begins_itself
    async def held(self, _request: bytes, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("settled", "yes"),))
        yield b"one"

    async def written(self, request: bytes, context: Any) -> None:
        await context.write(request)


class Rig:
    """A guarded server in this loop and a channel to it."""

    def __init__(self, callers: NamedCallers | None) -> None:
        self.registry = CollectorRegistry()
        self.callers = callers
        self.now_ns = 1_000
        self.gate = AccessGate({} if callers is None else {"keys": callers}, wall_ns=lambda: self.now_ns)
        self.open_calls = OpenCalls(self.gate)
        self.calls = CallInterceptor(Metrics(self.registry))
        access = AccessInterceptor(self.gate, self.open_calls, end_call=self.calls.end_call)
        self.servicer = Servicer()
        self.server = grpc.aio.server(interceptors=(self.calls, access))
        self.servicer.add_to(self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def code(self, method: str, caller: str, request: bytes = b"x", *, service: str = NAME) -> grpc.StatusCode:
        """Call a method of any kind; return how it ended."""
        path, metadata = f"/{service}/{method}", bearer(caller)

        async def requests() -> AsyncIterator[bytes]:
            yield request

        calls: dict[str, Any] = {
            "Stream": lambda: self.channel.unary_stream(path)(request, metadata=metadata),
            "Collect": lambda: self.channel.stream_unary(path)(requests(), metadata=metadata),
            "Chat": lambda: self.channel.stream_stream(path)(requests(), metadata=metadata),
        }
        call = calls.get(method, lambda: self.channel.unary_unary(path)(request, metadata=metadata))()
        try:
            if hasattr(call, "__aiter__"):
                async for _ in call:
                    pass
            else:
                await call
        except grpc.aio.AioRpcError as exc:
            return exc.code()
        return OK

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    for method, role in TABLE.items():
        monkeypatch.setitem(roles.METHODS, f"{NAME}/{method}", role)  # type: ignore[misc]
    for method in ("Who", "Held", "Written"):
        monkeypatch.setitem(roles.METHODS, f"midstream.test.v1.More/{method}", Role.READ)  # type: ignore[misc]


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    callers = NamedCallers(
        reader=(Role.READ,), steerer=(Role.CONTROL,), trader=(Role.TRADE,), both=(Role.CONTROL, Role.TRADE),
        boss=(Role.ADMIN,), nobody=(),
    )  # fmt: skip
    rig = Rig(None if getattr(request, "param", "") == "open" else callers)
    await rig.server.start()
    yield rig
    await rig.channel.close()
    await rig.server.stop(0)


@pytest.mark.parametrize("method", TABLE)
async def test_every_kind_of_method_is_decided_as_the_table_says(rig: Rig, method: str) -> None:
    assert rig.callers is not None
    for name, identity in rig.callers.known.items():
        expected = OK if roles.any_covers(identity.roles, TABLE[method]) else DENIED
        assert await rig.code(method, name) is expected, name
    for stranger in ("", "unknown"):
        assert await rig.code(method, stranger) is UNAUTHENTICATED


@pytest.mark.parametrize("caller", ["", "reader", "boss"])
async def test_a_method_without_a_row_is_nobodys(rig: Rig, caller: str) -> None:
    assert await rig.code("TypedChat", caller) is DENIED


@pytest.mark.parametrize("rig", ["open"], indirect=True)
async def test_a_method_without_a_row_is_nobodys_on_an_open_server_either(rig: Rig) -> None:
    assert await rig.code("TypedChat", "") is DENIED
    assert await rig.code("Unary", "") is OK
    assert await rig.channel.unary_unary("/midstream.test.v1.More/Who")(b"") == b"anyone"


async def test_a_method_that_nobody_has_is_unimplemented(rig: Rig) -> None:
    assert await rig.code("Guess", "") is grpc.StatusCode.UNIMPLEMENTED


async def test_a_refused_call_reaches_no_handler_and_its_request_is_not_read(rig: Rig) -> None:
    for caller in ("", "unknown", "reader", "nobody"):
        assert await rig.code("Unary", caller, b"y" * 1_000_000) in (UNAUTHENTICATED, DENIED)

    assert rig.servicer.handled == 0
    labels = {"grpc_type": "unary", "grpc_service": NAME, "grpc_method": "Unary"}
    for code in ("Unauthenticated", "PermissionDenied"):
        await until(lambda code=code: rig.value("grpc_server_handled_total", **labels, grpc_code=code) == 2)  # type: ignore[misc]
    assert rig.value("grpc_server_msg_received_total", **labels) == 0


async def test_an_admitted_call_counts_as_what_it_is(rig: Rig) -> None:
    await rig.code("Unary", "trader")
    await rig.code("Stream", "reader")

    unary = {"grpc_type": "unary", "grpc_service": NAME, "grpc_method": "Unary"}
    stream = {"grpc_type": "server_stream", "grpc_service": NAME, "grpc_method": "Stream"}
    await until(lambda: rig.value("grpc_server_handled_total", **stream, grpc_code="OK") == 1)
    assert rig.value("grpc_server_msg_sent_total", **unary) == 1
    assert rig.value("grpc_server_msg_sent_total", **stream) == 2
    assert rig.value("grpc_server_msg_received_total", **unary) == 1


async def test_servicers_know_who_calls(rig: Rig) -> None:
    who = rig.channel.unary_unary("/midstream.test.v1.More/Who")
    answers = await asyncio.gather(*(who(b"", metadata=bearer(name)) for name in ("reader", "boss", "both") * 5))

    assert answers == [b"reader", b"boss", b"both"] * 5
    with pytest.raises(Unauthenticated):
        current_identity()


async def test_the_address_of_the_caller_comes_with_what_it_brought(rig: Rig) -> None:
    await rig.code("Unary", "trader")

    assert rig.callers is not None
    assert [credentials.peer for credentials in rig.callers.asked] == ["127.0.0.1"]


async def test_methods_that_begin_or_write_by_themselves_still_do(rig: Rig) -> None:
    held = rig.channel.unary_stream("/midstream.test.v1.More/Held")(b"", metadata=bearer("reader"))
    assert dict(await held.initial_metadata())["settled"] == "yes"
    assert await held.read() == b"one"
    written = rig.channel.unary_stream("/midstream.test.v1.More/Written")(b"two", metadata=bearer("reader"))
    assert await written.read() == b"two"
    assert await written.read() is grpc.aio.EOF


async def test_errors_of_an_admitted_call_stay_what_they_are(rig: Rig) -> None:
    assert await rig.code("Unary", "trader", b"FailedPrecondition") is grpc.StatusCode.FAILED_PRECONDITION
    assert await rig.code("Unary", "trader", b"crash") is grpc.StatusCode.INTERNAL
    assert await rig.code("Unary", "trader", b"abort") is grpc.StatusCode.DATA_LOSS


@pytest.mark.parametrize("method", ["Stream", "Unary"])
@pytest.mark.parametrize("reason", ["revoked", "expired", "unknowable"])
async def test_a_call_in_progress_ends_with_its_callers_rights(
    rig: Rig, method: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rig.callers is not None
    rig.callers.expire("boss", 2_000)
    waiting = [asyncio.create_task(rig.code(method, "boss", b"forever")) for _ in range(3)]
    other = asyncio.create_task(rig.code("Stream", "both", b"forever"))
    await until(lambda: rig.servicer.handled == 4)

    await rig.open_calls.check()
    assert not any(task.done() for task in waiting)
    match reason:
        case "revoked":
            del rig.callers.known["boss"]
        case "expired":
            rig.now_ns = 2_000
        case _:
            monkeypatch.setattr(rig.callers, "holds", _away)
    await rig.open_calls.check()

    assert await asyncio.gather(*waiting) == [UNAUTHENTICATED] * 3
    if reason != "unknowable":
        assert not other.done()
    assert rig.servicer.released == (3 if method == "Stream" else 0) + (1 if reason == "unknowable" else 0)
    other.cancel()


async def _away(_identity: object) -> bool:
    raise Unavailable("the list is too old")


async def test_one_failed_look_at_a_caller_ends_nobodys_call_and_hides_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert rig.callers is not None
    broken = asyncio.create_task(rig.code("Stream", "reader", b"forever"))
    revoked = asyncio.create_task(rig.code("Stream", "boss", b"forever"))
    await until(lambda: rig.servicer.handled == 2)
    holds = rig.callers.holds

    async def fails(identity: Any) -> bool:
        if identity.name == "reader":
            raise RuntimeError("not now")
        return await holds(identity)

    monkeypatch.setattr(rig.callers, "holds", fails)
    del rig.callers.known["boss"]
    await rig.open_calls.check()

    assert await revoked is UNAUTHENTICATED
    assert not broken.done()
    assert "caller not checked" in caplog.text
    broken.cancel()


async def test_calls_that_are_over_are_not_kept(rig: Rig) -> None:
    for _ in range(3):
        await rig.code("Unary", "trader")
        await rig.code("Stream", "reader")

    await until(lambda: not rig.open_calls.open)


async def test_draining_lets_unary_calls_finish_and_ends_streams(rig: Rig) -> None:
    unary = asyncio.create_task(rig.code("Unary", "trader", b"forever"))
    stream = asyncio.create_task(rig.code("Stream", "reader", b"forever"))
    await until(lambda: rig.servicer.handled == 2)

    rig.calls.end_streams()

    assert await stream is grpc.StatusCode.UNAVAILABLE
    assert not unary.done()
    rig.calls.end_calls()
    assert await unary is grpc.StatusCode.UNAVAILABLE


async def test_the_look_is_taken_again_and_again(rig: Rig) -> None:
    ticks: asyncio.Queue[None] = asyncio.Queue()

    async def tick(_seconds: float) -> None:
        await ticks.get()

    looking = OpenCalls(rig.gate, sleep=tick)
    ended = asyncio.Event()
    looking.start()
    assert rig.callers is not None
    with looking.watched(rig.callers.known["boss"], ended.set):
        del rig.callers.known["boss"]
        ticks.put_nowait(None)
        await asyncio.wait_for(ended.wait(), 10.0)
    await looking.stop()
