"""From our errors to gRPC status codes, in one place."""

from __future__ import annotations

import logging
from typing import Any, Final, NoReturn

import grpc
import redis
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]

from services.runtime import errors
from services.runtime.connection import ConnectionsBusy
from services.runtime.log_fields import fields
from services.runtime.logs import CORRELATION_ID_KEY
from services.runtime.redis_refusals import meaning, temporary_code

logger = logging.getLogger(__name__)

STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
"""Where gRPC clients look for structured details beside the sentence."""

REDIS_GONE: Final = "Redis is not reachable; the server tries again by itself, retry with backoff"
"""Instead of the client's own words, which name hosts and sockets."""

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = tuple[tuple[str, str | bytes], ...]

_CODES: Final[dict[type[BaseException], grpc.StatusCode]] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    # Servicers read Redis directly, so that it is gone is an answer, not a bug. What it says otherwise (a wrong type, say) is one.
    redis.ConnectionError: grpc.StatusCode.UNAVAILABLE,
    redis.TimeoutError: grpc.StatusCode.UNAVAILABLE,
}
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


def code_of(exc: BaseException) -> grpc.StatusCode:
    """Return the status code of an error; what is not meant for callers is INTERNAL."""
    if isinstance(exc, redis.ResponseError) and temporary_code(exc):
        return grpc.StatusCode.UNAVAILABLE
    return next((_CODES[kind] for kind in type(exc).__mro__ if kind in _CODES), grpc.StatusCode.INTERNAL)


def code_set(context: Context, default: grpc.StatusCode) -> grpc.StatusCode:
    """Return the code that a handler put on its context, which grpc.aio keeps as a number or as an enum."""
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return _BY_NUMBER.get(code, default) if code else default


def trailing(context: Context, identifier: str) -> Metadata:
    """Return the trailing metadata that a handler set, with the correlation id."""
    present = tuple((key, value) for key, value in context.trailing_metadata() or () if key != CORRELATION_ID_KEY)
    return (*present, (CORRELATION_ID_KEY, identifier))


async def abort(context: Context, exc: BaseException, identifier: str, path: str) -> NoReturn:
    """End a call with the code of `exc`; never let the text of an unexpected error out."""
    code = code_of(exc)
    metadata = trailing(context, identifier)
    if code is grpc.StatusCode.INTERNAL:
        logger.error("call failed", exc_info=exc, extra=fields(method=path, request_id=identifier))
        await context.abort(code, f"internal error, request id {identifier}", metadata)
    if not isinstance(exc, errors.Overloaded):
        logger.info("call refused", extra=fields(method=path, code=code.name, reason=exc))
    if isinstance(exc, errors.MidstreamError):
        metadata = (*metadata, *exc.metadata)
    if isinstance(exc, errors.InvalidRequest):
        metadata = (*metadata, (STATUS_DETAILS_KEY, _field_violation(exc)))
    await context.abort(code, _sentence(exc), metadata)


def _sentence(exc: BaseException) -> str:
    refused = temporary_code(exc) if isinstance(exc, redis.ResponseError) else None
    if refused:
        return meaning(refused)
    gone = isinstance(exc, redis.RedisError) and not isinstance(exc, ConnectionsBusy)
    return REDIS_GONE if gone else str(exc)


def _field_violation(exc: errors.InvalidRequest) -> bytes:
    violation = error_details_pb2.BadRequest.FieldViolation(field=exc.field, description=exc.problem)
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    status = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=exc.message, details=[detail])
    return bytes(status.SerializeToString())
