"""A complete server that does what the environment says: `python -m tests.support.plain_server`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import cast

import grpc

from services.runtime.access import METHODS, Role
from services.runtime.errors import StartRefused
from services.runtime.server import HealthBoard, Service, run_server
from services.runtime.settings import SessionSettings, load
from tests.support.calls import NAME, TestServicer


class PlainService(Service):
    """Serves TestService; `PLAIN_SERVER` chooses how it ends."""

    names: Sequence[str] = (NAME,)

    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour

    def register(self, server: grpc.aio.Server) -> None:
        TestServicer().add_to(server)

    async def start(self, health: HealthBoard) -> None:
        if self._behaviour == "refuse":
            raise StartRefused("Redis refused: the reason; the fix")
        if self._behaviour == "crash":
            raise RuntimeError("broken")
        health.set(NAME, self._behaviour != "not-serving", "no dependency")

    async def run(self) -> int:
        if self._behaviour.isdecimal():
            return int(self._behaviour)
        await asyncio.Event().wait()
        return 0

    async def stop(self) -> None:
        print("stopped", flush=True)  # noqa: T201


if __name__ == "__main__":
    # What the table does not name is nobody's, and it names methods of the product only.
    cast("dict[str, Role]", METHODS).update(dict.fromkeys((f"{NAME}/Unary", f"{NAME}/Stream"), Role.READ))
    sys.exit(run_server("control", load(SessionSettings), PlainService(os.environ.get("PLAIN_SERVER", ""))))
