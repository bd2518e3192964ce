"""Say in the OpenAPI description what the framework does not know: keys, and which errors look like what."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(app: FastAPI) -> None:
    """Let the description say that every route under /v1 needs a key, and that errors are problems."""
    make = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = make()
            schema.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    if path.startswith("/v1/"):
                        operation["security"] = [{"key": []}]
                    for status, answer in operation["responses"].items():
                        if int(status) >= 400 and not (path == "/health" and status == "503"):
                            answer["content"] = PROBLEM | _own(answer)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _own(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what a route answers beside problems; the framework's own schema of validation errors is never sent."""
    found = answer.get("content", {}).get("application/json", {})
    is_order = str(found.get("schema", {}).get("$ref", "")).endswith("/OrderView")
    return {"application/json": found} if is_order else {}
