"""Ask Prometheus's and Alertmanager's own tools."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.support.missing_tools import tool

TIMEOUT_S: Final = 240
"""Playing a day through every rule takes a quarter of a minute on a machine that does nothing else."""


def run_tool(name: str, *arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program that a test needs; its output is text, whatever its exit code."""
    program = tool(name)
    assert program is not None, name
    return subprocess.run(
        [program, *map(str, arguments)], input=text, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def rule_test(
    folder: Path, rule_files: list[Path], tests: list[dict[str, Any]], *, interval: str = "15s"
) -> subprocess.CompletedProcess[str]:
    """Let promtool play series through rules and hold what comes of it against what is expected."""
    document = {"rule_files": [str(path) for path in rule_files], "evaluation_interval": interval, "tests": tests}
    file = folder / "rules-test.yml"
    # JSON is YAML.
    file.write_text(json.dumps(document), encoding="utf-8")
    return run_tool("promtool", "test", "rules", file)
