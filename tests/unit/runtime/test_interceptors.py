"""Around every call: codes, correlation ids, metrics, and the end when the server drains."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from prometheus_client import CollectorRegistry

from services.runtime import interceptors
from services.runtime.call_limits import LISTING_BYTES_MAX, REQUEST_BYTES_MAX, CallLimits
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.statuses import STATUS_DETAILS_KEY
from tests.support.calls import NAME, SECRET, TestServicer
from tests.support.log_records import said
from tests.support.waiting import until


class Rig:
    """A server in this loop and a channel to it."""

    def __init__(self, limits: CallLimits | None = None) -> None:
        self.registry = CollectorRegistry()
        self.interceptor = CallInterceptor(Metrics(self.registry), limits)
        self.servicer = TestServicer()
        options = limits.server_options() if limits is not None else None
        self.server = grpc.aio.server(interceptors=(self.interceptor,), options=options)
        self.servicer.add_to(self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    def unary(self, request: bytes, *, method: str = "Unary", **options: Any) -> Any:
        return self.channel.unary_unary(f"/{NAME}/{method}")(request, **options)

    def stream(self, request: bytes, **options: Any) -> Any:
        return self.channel.unary_stream(f"/{NAME}/Stream")(request, **options)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.server.start()
    yield rig
    await rig.channel.close()
    await rig.server.stop(0)


@pytest.mark.parametrize(
    ("request_text", "code"),
    [
        (b"NotFound", grpc.StatusCode.NOT_FOUND),
        (b"AlreadyExists", grpc.StatusCode.ALREADY_EXISTS),
        (b"FailedPrecondition", grpc.StatusCode.FAILED_PRECONDITION),
        (b"OutOfRange", grpc.StatusCode.OUT_OF_RANGE),
        (b"ResourceExhausted", grpc.StatusCode.RESOURCE_EXHAUSTED),
        (b"DeadlineExceeded", grpc.StatusCode.DEADLINE_EXCEEDED),
        (b"Unavailable", grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_errors_become_codes_in_unary_and_streaming_calls(
    rig: Rig, request_text: bytes, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await rig.unary(request_text)
    stream = rig.stream(request_text)
    first = await stream.read()
    with pytest.raises(grpc.aio.AioRpcError) as streamed:
        await stream.read()

    assert (unary.value.code(), unary.value.details()) == (code, "as asked")
    assert (streamed.value.code(), streamed.value.details()) == (code, "as asked")
    assert first == b"first"


async def test_invalid_request_names_the_field_in_words_and_in_details(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.unary(b"invalid")

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "`mode` must be MODE_HISTORICAL or MODE_LIVE (got 7)"
    raw = dict(caught.value.trailing_metadata() or ())[STATUS_DETAILS_KEY]
    violations = error_details_pb2.BadRequest()
    status_pb2.Status.FromString(raw).details[0].Unpack(violations)
    assert violations.field_violations[0].field == "mode"


@pytest.mark.parametrize("request_text", [b"crash", b"bug"])
async def test_unexpected_error_leaks_nothing_and_is_logged_under_its_request_id(
    rig: Rig, request_text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.unary(request_text, metadata=(("x-correlation-id", "abc-1"),))

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error, request id abc-1"
    assert SECRET not in str(caught.value.debug_error_string())
    assert SECRET in caplog.text
    ((event, values),) = said(caplog.records)
    assert (event, values["request_id"]) == ("call failed", "abc-1")


async def test_metadata_of_an_error_reaches_the_caller(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.unary(b"exhausted")

    assert dict(caught.value.trailing_metadata() or ())["last-sequence"] == "41"


async def test_correlation_id_of_the_caller_is_kept_and_returned(rig: Rig) -> None:
    call = rig.unary(b"correlation", metadata=(("x-correlation-id", "order-7/1"),))
    stream = rig.stream(b"correlation", metadata=(("x-correlation-id", "order-8"),))

    assert await call == b"order-7/1"
    assert dict(await call.trailing_metadata())["x-correlation-id"] == "order-7/1"
    assert [message async for message in stream] == [b"first", b"order-8"]
    assert dict(await stream.initial_metadata())["x-correlation-id"] == "order-8"
    assert dict(await stream.trailing_metadata())["x-correlation-id"] == "order-8"


@pytest.mark.parametrize("given", [None, "", "x" * 200, 'a"b', "a b"])
async def test_missing_or_unusable_correlation_id_is_replaced(rig: Rig, given: str | None) -> None:
    call = rig.unary(b"correlation", metadata=() if given is None else (("x-correlation-id", given),))

    made = await call

    assert len(made) == 16
    assert int(made, 16) >= 0
    assert dict(await call.trailing_metadata())["x-correlation-id"] == made.decode()


async def test_aborted_error_returns_the_correlation_id_too(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.unary(b"abort", metadata=(("x-correlation-id", "abc"),))

    assert caught.value.code() is grpc.StatusCode.DATA_LOSS
    assert dict(caught.value.trailing_metadata() or ())["x-correlation-id"] == "abc"
    labels = {"grpc_type": "unary", "grpc_service": NAME, "grpc_method": "Unary", "grpc_code": "DataLoss"}
    await until(lambda: rig.value("grpc_server_handled_total", **labels) == 1)


async def test_metrics_count_calls_messages_and_codes(rig: Rig) -> None:
    await rig.unary(b"x")
    with pytest.raises(grpc.aio.AioRpcError):
        await rig.unary(b"crash")
    assert [message async for message in rig.stream(b"y")] == [b"first", b"y"]

    async def three() -> AsyncIterator[bytes]:
        for word in (b"a", b"b", b"c"):
            yield word

    assert await rig.channel.stream_unary(f"/{NAME}/Collect")(three()) == b"a,b,c"
    assert [message async for message in rig.channel.stream_stream(f"/{NAME}/Chat")(three())] == [b"A", b"B", b"C"]

    def labels(kind: str, method: str) -> dict[str, str]:
        return {"grpc_type": kind, "grpc_service": NAME, "grpc_method": method}

    unary, stream = labels("unary", "Unary"), labels("server_stream", "Stream")
    collect, chat = labels("client_stream", "Collect"), labels("bidi_stream", "Chat")
    assert rig.value("grpc_server_started_total", **unary) == 2
    await until(lambda: rig.value("grpc_server_handled_total", **unary, grpc_code="OK") == 1)
    await until(lambda: rig.value("grpc_server_handled_total", **unary, grpc_code="Internal") == 1)
    assert rig.value("grpc_server_msg_sent_total", **unary) == 1
    assert rig.value("grpc_server_msg_sent_total", **stream) == 2
    assert rig.value("grpc_server_msg_received_total", **stream) == 1
    assert rig.value("grpc_server_msg_received_total", **collect) == 3
    assert rig.value("grpc_server_msg_sent_total", **collect) == 1
    assert rig.value("grpc_server_msg_received_total", **chat) == 3
    assert rig.value("grpc_server_msg_sent_total", **chat) == 3
    await until(lambda: rig.value("grpc_server_handling_seconds_count", **unary) == 2)


async def test_unknown_methods_share_one_series(rig: Rig) -> None:
    for number in range(20):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rig.unary(b"", method=f"Guess{number}")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    labels = {"grpc_type": "unary", "grpc_service": "unknown", "grpc_method": "unknown"}
    await until(lambda: rig.value("grpc_server_handled_total", **labels, grpc_code="Unimplemented") == 20)
    samples = [sample for metric in rig.registry.collect() for sample in metric.samples]
    assert {s.labels["grpc_method"] for s in samples if s.name.startswith("grpc_")} == {"unknown"}


async def test_call_cancelled_by_its_client_counts_as_cancelled_and_releases_the_handler(rig: Rig) -> None:
    stream = rig.stream(b"forever")
    assert await stream.read() == b"first"

    stream.cancel()

    labels = {"grpc_type": "server_stream", "grpc_service": NAME, "grpc_method": "Stream", "grpc_code": "Canceled"}
    async with asyncio.timeout(5):
        while rig.value("grpc_server_handled_total", **labels) is None:  # noqa: ASYNC110  (it is in another component)
            await asyncio.sleep(0.001)
    assert rig.servicer.released == 1


async def test_client_that_leaves_while_a_message_is_written_cancels_the_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def write(_context: object, _message: object) -> None:
        # What grpc.aio raises when the client's end comes before the outcome of a write: a race of the transport.
        raise grpc.aio.InternalError('Failed "execute_batch": (<OperationType.SEND_MESSAGE>,)')

    monkeypatch.setattr(interceptors, "_write", write)

    call = rig.stream(b"forever")
    labels = {"grpc_type": "server_stream", "grpc_service": NAME, "grpc_method": "Stream"}
    await until(lambda: rig.value("grpc_server_handled_total", grpc_code="Canceled", **labels) == 1)
    call.cancel()
    assert rig.servicer.released == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


UNREADABLE = b"\xff\xff\xff\x00garbage"


async def test_request_that_cannot_be_read_is_invalid_counted_and_leaks_nothing(rig: Rig) -> None:
    assert await rig.unary(StringValue(value="good").SerializeToString(), method="Typed") == b"good"

    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await rig.unary(UNREADABLE, method="Typed")
    with pytest.raises(grpc.aio.AioRpcError) as streamed:
        [_ async for _ in rig.channel.stream_stream(f"/{NAME}/TypedChat")(iter((UNREADABLE,)))]

    for caught in (unary, streamed):
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details() == "`request` is not a message of the type that this method takes"
    for kind, method in (("unary", "Typed"), ("bidi_stream", "TypedChat")):
        labels = {"grpc_type": kind, "grpc_service": NAME, "grpc_method": method}
        counted = partial(rig.value, "grpc_server_handled_total", grpc_code="InvalidArgument", **labels)
        await until(lambda counted=counted: counted() == 1)  # type: ignore[misc]


async def test_draining_ends_streams_with_unavailable_and_lets_unary_calls_go_on(rig: Rig) -> None:
    stream = rig.stream(b"forever")
    assert await stream.read() == b"first"
    unary = asyncio.ensure_future(rig.unary(b"forever"))
    await rig.unary(b"x")

    rig.interceptor.end_streams()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "shutting down" in (caught.value.details() or "")
    assert rig.servicer.released == 1
    assert not unary.done()

    rig.interceptor.end_calls()

    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await unary
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_a_request_may_have_depends_on_its_method() -> None:
    limits = CallLimits(listing_methods=frozenset((f"/{NAME}/Stream",)))
    rig = Rig(limits)
    await rig.server.start()
    fits, long, longer = b"x" * REQUEST_BYTES_MAX, b"x" * (REQUEST_BYTES_MAX + 1), b"x" * (LISTING_BYTES_MAX + 1)

    assert await rig.unary(fits) == fits
    assert [message async for message in rig.stream(long)] == [b"first", long]
    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await rig.unary(long)
    with pytest.raises(grpc.aio.AioRpcError) as stream:
        await rig.stream(longer).read()
    await rig.channel.close()
    await rig.server.stop(0)

    assert unary.value.code() is stream.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert unary.value.details() == "the request has 131073 bytes; this method takes 131072 at most"


async def test_call_without_its_request_is_told_so(rig: Rig) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.channel.stream_unary(f"/{NAME}/Unary")(nothing())

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "`request` is missing: this method takes one message"


async def test_calls_beyond_those_that_there_may_be_are_refused_and_end_no_other() -> None:
    rig = Rig(CallLimits(calls_max=2))
    await rig.server.start()
    streams = [rig.stream(b"forever") for _ in range(2)]
    assert [await stream.read() for stream in streams] == [b"first"] * 2

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.unary(b"x")
    streams[0].cancel()
    await until(lambda: rig.servicer.released == 1)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "2 calls are under way already" in (caught.value.details() or "")
    assert await rig.unary(b"y") == b"y"
    await rig.channel.close()
    await rig.server.stop(0)
