"""A way for other threads to end the waiting of the thread that waits for sockets."""

from __future__ import annotations

import os
import select


class Waker:
    """A pipe that becomes readable when `wake` was called, from any thread or signal handler, any number of times."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def wake(self) -> None:
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # the pipe is full, so it is readable already

    def wait(self, timeout_s: float, *others: int) -> bool:
        """Wait for a call of `wake` or for something to read from `others`; True when `wake` was called."""
        poller = select.poll()
        for descriptor in (self._read, *others):
            poller.register(descriptor, select.POLLIN)
        events = poller.poll(max(0.0, timeout_s) * 1000)
        woken = any(descriptor == self._read for descriptor, _ in events)
        if woken:
            try:
                while os.read(self._read, 4096):
                    pass
            except BlockingIOError:
                pass
        return woken
