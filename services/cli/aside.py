"""Iterate over what blocks in a library that must not be interrupted, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

_AHEAD: Final = 16
"""What may wait for who reads; a slow terminal holds up the stream as if it read by itself."""
_LOOK_S: Final = 0.2


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def aside(items: Iterable[T]) -> Iterator[T]:
    """Yield what comes, and raise what is raised, while another thread waits for it.

    A signal raises in the main thread. Where that is inside of gRPC as it begins a stream, the stream is left half begun, and closing
    its channel waits for it for ever.
    """
    came: queue.Queue[T | _Ended] = queue.Queue(_AHEAD)
    gone = threading.Event()

    def put(item: T | _Ended) -> None:
        while not gone.is_set():
            try:
                came.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def read() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if gone.is_set():
                    break
        except BaseException as exc:  # noqa: BLE001  raised again where it is looked for
            error = exc
        put(_Ended(error))

    threading.Thread(target=read, name="aside", daemon=True).start()
    try:
        while not isinstance(found := came.get(), _Ended):
            yield found
        if found.error is not None:
            raise found.error
    finally:
        gone.set()
