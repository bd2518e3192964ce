"""On what the figures were taken. Figures of two machines cannot be compared; ratios can, with care."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "polars",
    "pandas",
    "pyarrow",
    "numpy",
    "redis",
    "hiredis",
    "grpcio",
    "protobuf",
    "websockets",
    "orjson",
)


@dataclass(frozen=True)
class Machine:
    """One machine at one moment."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    redis: str
    packages: dict[str, str]
    load_before: float
    """One-minute load average at the start; well above 0 means that others were at work and that the spread is theirs."""

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB, Linux {self.kernel}, Python {self.python}, "
            f"redis {self.redis}, load {self.load_before:.1f} before\n{packages}"
        )


def this_machine() -> Machine:
    """Look at the machine that this runs on."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30,
        kernel=platform.release(),
        python=platform.python_version(),
        redis=_redis_version(),
        packages={name: metadata.version(name) for name in PACKAGES},
        load_before=os.getloadavg()[0],
    )


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _redis_version() -> str:
    from services.runtime.redis_binary import find_engine

    return find_engine().text
