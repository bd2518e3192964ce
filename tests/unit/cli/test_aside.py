"""What blocks elsewhere arrives here, and an interruption here does not reach it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from services.cli.aside import aside


def test_everything_comes_in_order_and_ends() -> None:
    assert list(aside(range(100))) == list(range(100))


def test_what_is_raised_there_is_raised_here_after_what_came() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("lost")

    items = aside(failing())

    assert next(items) == 1
    with pytest.raises(LookupError, match="lost"):
        next(items)


def test_it_is_read_in_another_thread_which_ends_with_who_reads() -> None:
    threads: list[threading.Thread] = []

    def endless() -> Iterator[int]:
        threads.append(threading.current_thread())
        while True:
            yield 1

    items = aside(endless())
    next(items)
    items.close()
    (reader,) = threads
    reader.join(30)

    assert reader is not threading.main_thread()
    assert not reader.is_alive()
