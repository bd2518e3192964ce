"""Runs an image that was unpacked into a folder, hardened as an orchestrator would: Linux, root and util-linux are all it needs.

Root read-only, tmpfs at /tmp, the image's own user, no capability, no new privilege, and namespaces of its own: of its network there is
loopback and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import wait_until

DATA = "/var/lib/midstream"
DEVICES = ("null", "zero", "full", "random", "urandom")
_ENTER = rf"""
set -e
root=$0 volume=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind "$volume" "$root{DATA}"
mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev,noexec tmpfs "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o size=1m,mode=755,nosuid,noexec tmpfs "$root/dev"
for each in {" ".join(DEVICES)}; do touch "$root/dev/$each"; mount --bind "/dev/$each" "$root/dev/$each"; done
ln -s /proc/self/fd "$root/dev/fd"
for each in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${{each%:*}}" "$root/dev/${{each#*:}}"; done
mkdir "$root/dev/shm"
mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev,noexec tmpfs "$root/dev/shm"
mount -o remount,ro "$root/dev"
mount -o remount,bind,ro "$root"
ip link set lo up
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """An unpacked image with its configuration, as `buildah inspect` shows it."""

    rootfs: Path
    config: Mapping[str, Any]
    """The part that engines read: User, Env, Entrypoint, Cmd, Labels and so on."""

    @classmethod
    def read(cls, rootfs: Path, inspected: Path) -> Self:
        """Take the image's configuration out of what inspecting printed."""
        return cls(rootfs, json.loads(inspected.read_text(encoding="utf-8"))["Docker"]["config"])

    @property
    def environment(self) -> dict[str, str]:
        """What every process in it gets to see."""
        return dict(each.split("=", 1) for each in self.config["Env"])

    @property
    def owner(self) -> tuple[int, int]:
        """User and group that it runs as."""
        user, _, group = self.config["User"].partition(":")
        return int(user), int(group)

    def confined(self, argv: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """Return the command line that becomes the image's user for good and runs `argv` with nothing but this environment."""
        user, group = self.owner
        variables = {**self.environment, "HOME": DATA, **environment}
        drop = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        return [
            *["/usr/bin/setpriv", "--reuid", str(user), "--regid", str(group), *drop],
            *["/usr/bin/env", "-i", "-C", self.config["WorkingDir"]],
            *[f"{name}={value}" for name, value in variables.items()],
            *argv,
        ]


class Box:
    """One container of an image: its first process, and what is run beside it."""

    def __init__(
        self, image: Image, volume: Path, *command: str, entrypoint: Sequence[str] | None = None, **environment: str
    ) -> None:
        """`command` takes the place of the image's CMD where there is one; `volume` is what lasts, with the image's user as its owner."""
        self._image = image
        self._environment = environment
        volume.mkdir(mode=0o700, exist_ok=True)
        os.chown(volume, *image.owner)
        argv = [*(image.config["Entrypoint"] if entrypoint is None else entrypoint), *(command or image.config["Cmd"])]
        unshare = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
        self.log = volume.with_name(f"{volume.name}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*unshare, "bash", "-c", _ENTER, str(image.rootfs), str(volume), *image.confined(argv, environment)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"]},
            )

    @property
    def first(self) -> int:
        """The pid, out here, of what is PID 1 in there."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        wait_until(lambda: bool(children.read_text().split()), what="the first process of the box")
        return int(children.read_text().split()[0])

    def pids(self, words: str) -> list[int]:
        """Return the pids, out here, of the processes in there whose command line has these words."""
        found, waiting = [], [self.first]
        while waiting:
            pid = waiting.pop()
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                waiting += [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            except OSError:
                continue
            if words in line:
                found.append(pid)
        return found

    def run(self, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run something beside the first process, as `docker exec` does."""
        enter = ["nsenter", f"--target={self.first}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        return subprocess.run(
            [*enter, *self._image.confined(argv, self._environment)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def wait(self, timeout_s: float) -> int:
        """Return the exit code of the first process."""
        return self.process.wait(timeout=timeout_s)

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """Kill what is left of it."""
        if self.process.poll() is None:
            # The first process takes all others with it. Killing what waits for it would not: a process that has become another user is
            # no longer killed with its parent.
            os.kill(self.first, signal.SIGKILL)
        self.process.wait(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
