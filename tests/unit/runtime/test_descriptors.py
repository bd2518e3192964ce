"""The shares of a process's open files fit, whatever the system allows; the limit is raised before they are given out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.runtime.descriptors import OWN_MAX, descriptor_budget
from tests.support.cli import PATIENCE_S, ROOT, clean_environment

RAISED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from services.runtime.descriptors import raise_descriptors
print(raise_descriptors(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize("limit", [64, 128, 256, 511, 512, 1_024, 4_096, 20_000, 65_536])
def test_the_shares_are_never_more_than_the_limit(limit: int) -> None:
    budget = descriptor_budget(limit)

    assert budget.own + budget.metrics + budget.grpc + budget.web == budget.limit == limit
    assert budget.own >= min(OWN_MAX, limit // 4)
    assert min(budget.metrics, budget.grpc, budget.web) >= 2
    assert budget.alone == limit - budget.own


@pytest.mark.parametrize(("soft", "hard"), [(256, 512), (512, 512), (300, 1_024)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISED.format(soft=soft, hard=hard)],
        capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT, env=clean_environment({}), check=True,
    )  # fmt: skip

    assert done.stdout.split() == [str(hard)] * 3
