"""Two hosts as two network namespaces with a cable between them, and one from each to where the test runs; cables can be pulled."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Host:
    """One machine of a cluster: its address, and what a command begins with to run there."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


LOOPBACK: Final = Host()


class TwoHosts:
    """Hosts `a` and `b`. The test's own namespace reaches both, also when they do not reach each other."""

    def __init__(self) -> None:
        """Needs root; raises CalledProcessError where namespaces are not allowed."""
        number = os.getpid()
        network = f"10.{64 + (number >> 8 & 63)}.{number & 255}"
        self._names = [f"midstream-{number}-{side}" for side in "ab"]
        self._here = [f"ms{number}{side}" for side in "ab"]
        self._addresses = [f"{network}.1", f"{network}.2"]
        self._home = f"{network}.3"
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        enter = shutil.which("nsenter") or "nsenter"
        self.a, self.b = (
            Host(address, (enter, f"--net=/run/netns/{name}"))
            for address, name in zip(self._addresses, self._names, strict=True)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Pull the cable between the hosts: the test reaches both, they do not reach each other."""
        self._inside(0, "link", "set", "peer", "down")

    def isolate(self) -> None:
        """Pull both cables of host `b`: nobody reaches it."""
        self.cut()
        self._inside(1, "link", "set", "home", "down")

    def mend(self) -> None:
        """Put all cables back. Harmless when repeated."""
        for side in (0, 1):
            self._inside(side, "link", "set", "peer", "up")
            self._inside(side, "link", "set", "home", "up")
        # A device that goes down takes its routes along.
        for side in (0, 1):
            self._route(side)

    def close(self) -> None:
        """Remove the namespaces, and with them the cables. Harmless when repeated."""
        for here, name in zip(self._here, self._names, strict=True):
            # A namespace that is gone loses its cables a moment later; the next test may be quicker.
            for command in (("link", "del", here), ("netns", "del", name)):
                subprocess.run(["ip", *command], check=False, capture_output=True, timeout=_TIMEOUT_S)

    def _build(self) -> None:
        for name in self._names:
            _ip("netns", "add", name)
        peers = [text for name in self._names for text in ("peer", "netns", name)]
        _ip("link", "add", *peers[:3], "type", "veth", "peer", "name", *peers[3:])
        for side, name in enumerate(self._names):
            here = self._here[side]
            _ip("link", "add", here, "type", "veth", "peer", "name", "home", "netns", name)
            self._inside(side, "address", "add", f"{self._addresses[side]}/32", "dev", "lo")
            self._inside(side, "link", "set", "lo", "up")
            _ip("address", "add", f"{self._home}/32", "dev", here)
            _ip("link", "set", here, "up")
            _ip("route", "add", f"{self._addresses[side]}/32", "dev", here, "src", self._home)
        self.mend()

    def _route(self, side: int) -> None:
        own, other = self._addresses[side], self._addresses[1 - side]
        self._inside(side, "route", "replace", f"{other}/32", "dev", "peer", "src", own)
        self._inside(side, "route", "replace", f"{self._home}/32", "dev", "home", "src", own)

    def _inside(self, side: int, *command: str) -> None:
        _ip("-n", self._names[side], *command)


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True, timeout=_TIMEOUT_S)


@functools.cache
def why_no_hosts() -> str:
    """Say why there are no namespaces here; empty where there are."""
    if missing := [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]:
        return f"network namespaces need {' and '.join(missing)}"
    try:
        TwoHosts().close()
    except subprocess.CalledProcessError as exc:
        return f"network namespaces are not allowed here: {exc.stderr.decode().strip()}"
    return ""


def spread(hosts: Sequence[Host], primaries: int) -> list[Host]:
    """Give each primary a host, the first one more where they do not come out even, and each replica another than its primary's."""
    if not hosts:
        return [LOOPBACK] * (2 * primaries)
    places = [index * len(hosts) // primaries for index in range(primaries)]
    return [hosts[place] for place in places] + [hosts[(place + 1) % len(hosts)] for place in places]
