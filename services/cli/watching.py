"""Ask a server once, or again and again, and show what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc

from clients.rpc import ChannelSettings, UnusableChannel
from services.cli.output import ExitCode, fail
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.cli.terminal import clear, is_terminal, say, write

INTERVAL_S: Final = 1.0
"""As often as the health server looks itself."""


@dataclass(frozen=True)
class Answer:
    """What a server says, for people and for machines."""

    lines: list[str]
    figures: dict[str, Any]
    exit_code: ExitCode = ExitCode.COMPLETE


def show_answers(
    server: str,
    channel: ChannelSettings,
    ask: Callable[[str], Answer],
    *,
    as_json: bool,
    watch: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Print what `ask` returns for the server's address and return its exit code; with `watch` until a signal ends it.

    A server that goes away while it is watched is told on stderr and asked again.
    """
    address, answered = address_of(server), False
    while True:
        try:
            answer = ask(address)
        except UnusableChannel as exc:
            return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
        except grpc.RpcError as exc:
            said = explain(server, address, exc, channel)
            if not answered:
                return fail(said.message, said.exit_code, as_json=as_json, status=exc.code().name)
            say(f"midstream: {said.message}")
        else:
            _print(answer, as_json=as_json, again=watch, first=not answered)
            answered = True
            if not watch:
                return answer.exit_code
        sleep(INTERVAL_S)


def _print(answer: Answer, *, as_json: bool, again: bool, first: bool) -> None:
    if as_json:
        write(json.dumps(answer.figures))
        return
    if again and is_terminal():
        clear()
    elif not first:
        write("")
    write("\n".join(answer.lines))
