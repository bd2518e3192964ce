"""What a sink frees after a batch is there for the next one."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: it is for good.
CHURN = """
import resource
from services.price.engine.kept_memory import keep_freed_memory

assert keep_freed_memory()
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    batches = [b"x" * 150_000 for _ in range(16)]
    del batches
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere malloc is another one")
def test_batches_that_follow_each_other_use_the_same_pages() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", CHURN], capture_output=True, text=True, check=True)

    # Ten times 2.4 MB, which would be some 5,800 pages.
    assert int(done.stdout) < 100
