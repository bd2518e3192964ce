"""A client in Go, generated from the protos, compiles and streams."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.grpcurl import go_tool
from tests.support.serving import serving

SOURCES = ROOT / "tests" / "clients" / "go"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_client_in_go_compiles_and_streams(tmp_path: Path) -> None:
    plugins = [go_tool("protoc-gen-go"), go_tool("protoc-gen-go-grpc")]
    go = go_tool("go")
    module = tmp_path / "client"
    shutil.copytree(SOURCES, module)
    run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "-I", "."),
            *(f"--plugin=protoc-gen-{name}={path}" for name, path in zip(("go", "go-grpc"), plugins, strict=True)),
            *(f"--go_out={module}", "--go_opt=module=midstream"),
            *(f"--go-grpc_out={module}", "--go-grpc_opt=module=midstream"),
            *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "protos").glob("*/v1/*.proto"))),
        ],
        cwd=ROOT,
    )
    run([go, "mod", "tidy"], cwd=module)
    run([go, "build", "-o", "client", "."], cwd=module)

    with serving(tmp_path / "out", ("replay", "control", "price")) as servers:
        state = servers.wait_state("COMPLETED")
        last = state["last_sequence"]
        printed = run([str(module / "client"), servers.address("replay"), str(last)], cwd=module)
        rejected = servers.wait_committed(last)["counts"]["rejected"]

    assert printed == f"ticks={last - rejected} rejections={rejected} first=1 last={last}\n"


def run(command: list[str], *, cwd: Path) -> str:
    """Run a command to its end, which has to be a good one."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "GOFLAGS": "-mod=mod"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
