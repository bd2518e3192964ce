"""Errors as RFC 9457 problems."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.orders.errors import Reason, reason_of
from services.orders.rest.models import Problem
from services.runtime import errors
from services.runtime.access.failures import RETRY_AFTER
from services.runtime.log_fields import fields
from services.runtime.logs import current_correlation_id

logger = logging.getLogger(__name__)

STATUSES: Final[dict[type[errors.MidstreamError], int]] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.FailedPrecondition: 422,
    errors.OutOfRange: 422,
    errors.ResourceExhausted: 429,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
}
RETRY_AFTER_S: Final = 1
_HEADERS: Final = {
    "Idempotency-Key": "1 to 128 printable ASCII characters without spaces, the same when the call is repeated and another "
    "one for each new order"
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "model": Problem,
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status in (400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 503, 504)
}
"""What every route may answer, for the description."""


def problem(status: int, detail: str, *, reason: str = "", field: str = "") -> JSONResponse:
    """Return a problem."""
    again = {"Retry-After": str(RETRY_AFTER_S)}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: again, 503: again}.get(status, {})
    body = {
        "type": f"urn:midstream:problem:{reason or HTTPStatus(status).name.lower().replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "reason": reason,
        "field": field,
        "request_id": current_correlation_id(),
    }
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def problem_of(error: BaseException) -> JSONResponse:
    """Return the problem of an error; what is not meant for callers becomes a request id."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
    if status == 500 or not isinstance(error, errors.MidstreamError):
        logger.error("request failed", exc_info=error, extra=fields(request_id=current_correlation_id()))
        return problem(500, f"internal error, request id {current_correlation_id()}")
    field = error.field if isinstance(error, errors.InvalidRequest) else ""
    answer = problem(status, error.message, reason=reason_of(error), field=field)
    for name, value in error.metadata:
        if name == RETRY_AFTER:
            answer.headers["Retry-After"] = str(value)
    return answer


def said(error: Mapping[str, Any], content_type: str) -> tuple[str, str]:
    """Return which field of a request is unusable, as its sender calls it, and a sentence about it."""
    place, *path = (str(part) for part in error["loc"])
    kind, message = str(error["type"]), str(error["msg"])
    if place == "header":
        # A header's name has no case, and is written like this.
        name = "-".join(part.capitalize() for part in path[0].replace("_", "-").split("-"))
        what = (
            f"is required: {_HEADERS[name]}" if kind == "missing" and name in _HEADERS else f"is not usable: {message}"
        )
        return name.lower(), f"the header `{name}` {what}"
    if place == "body" and (not path or kind == "json_invalid"):
        # Without this type the framework hands the bytes on as they are.
        if not content_type.partition(";")[0].strip().lower().endswith("json"):
            return "", "the body has to be JSON: send it with `content-type: application/json`"
        if kind == "json_invalid":
            at = f" (at character {path[0]})" if path else ""
            return "", f"the body is not JSON: {error.get('ctx', {}).get('error', message)}{at}"
        return "", "the body is required" if kind == "missing" else "the body must be a JSON object"
    field = ".".join(path)
    if kind == "extra_forbidden":
        return field, f"`{field}` is no member of this body"
    if kind == "string_type":
        return field, f"`{field}` must be text in quotes, numbers too, so that they stay exact"
    if kind == "missing":
        return field, f"`{field}` is required"
    return field, f"`{field}` is not usable: {message}"


def add_problems(app: FastAPI) -> None:
    """Let an application answer with problems and nothing else."""

    @app.exception_handler(errors.MidstreamError)
    async def ours(_: Request, exc: errors.MidstreamError) -> JSONResponse:
        return problem_of(exc)

    @app.exception_handler(RequestValidationError)
    async def unusable(request: Request, exc: RequestValidationError) -> JSONResponse:
        field, detail = said(exc.errors()[0], request.headers.get("content-type", ""))
        return problem(400, detail, reason=Reason.BAD_FIELD.value, field=field)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, exc: Exception) -> JSONResponse:
        return problem_of(exc)

    @app.exception_handler(HTTPException)
    async def http(_: Request, exc: HTTPException) -> JSONResponse:
        # A body that cannot even be parsed.
        reason = Reason.BAD_FIELD.value if exc.status_code == 400 else ""
        answer = problem(exc.status_code, str(exc.detail), reason=reason)
        answer.headers.update(exc.headers or {})
        return answer
