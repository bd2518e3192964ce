"""What the image's environment loses before it is shipped, and what it keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import ROOT

KEPT = (
    "services/__init__.py",
    "services/reporting/web/assets/page.js",
    "fastpath/merge.cpython-313-x86_64-linux-gnu.so",
    "fastpath/hpp.txt",
    "protos/midstream.binpb",
    "sqlalchemy/testing/__init__.py",
    "botocore/data/endpoints.json",
    "botocore/data/ssm/2014-11-06/service-2.json.gz",
    "botocore/data/sts/2011-06-15/service-2.json.gz",
    "greenlet-3.5.6.dist-info/licenses/tests/LICENSE",
)
PROGRAMS_KEPT = ("midstream", "python", "python3", "python3.13")
PROGRAMS_GONE = ("alembic", "uvicorn", "activate", "Activate.ps1", "jp.py")
GONE = (
    "fastpath/merge.pyx",
    "fastpath/merge.pxd",
    "fastpath/merge.pyi",
    "fastpath/cut.hpp",
    "protos/replay/v1/replay.proto",
    "greenlet/tests/test_all.py",
    "greenlet/greenlet.h",
    "services/__pycache__/old.cpython-311.pyc",
    "botocore/data/ec2/2016-11-15/service-2.json.gz",
    "boto3/data/s3/2006-03-01/resources-1.json",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An environment as pip leaves it."""
    site = tmp_path / "env/lib/python3.13/site-packages"
    for name in (*KEPT, *GONE):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("text")
    (tmp_path / "env/bin").mkdir()
    for name in (*PROGRAMS_KEPT, *PROGRAMS_GONE):
        (tmp_path / "env/bin" / name).write_text("#!")
    (tmp_path / "env/include/site").mkdir(parents=True)
    (tmp_path / "env/.gitignore").write_text("*")
    record = site / "greenlet-3.5.6.dist-info/RECORD"
    names = (*KEPT, *GONE, str(record.relative_to(site)), "../../../bin/alembic", "../../../bin/midstream")
    record.write_text("".join(f"{name},sha256=x,4\n" for name in names))
    return site


def test_trimming_takes_what_no_server_reads_and_leaves_the_rest(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/image/trim.py", site.parents[2]], capture_output=True, text=True, check=True
    )

    assert [name for name in GONE if (site / name).exists()] == []
    assert [name for name in KEPT if not (site / name).is_file()] == []
    assert "trimmed" in done.stdout


def test_trimming_leaves_one_command_and_its_python(site: Path) -> None:
    subprocess.run([sys.executable, ROOT / "deploy/image/trim.py", site.parents[2]], capture_output=True, check=True)

    environment = site.parents[2]
    assert {each.name for each in (environment / "bin").iterdir()} == set(PROGRAMS_KEPT)
    assert {each.name for each in environment.iterdir()} == {"bin", "lib"}


def test_trimming_leaves_records_that_are_true(site: Path) -> None:
    subprocess.run([sys.executable, ROOT / "deploy/image/trim.py", site.parents[2]], capture_output=True, check=True)

    lines = (site / "greenlet-3.5.6.dist-info/RECORD").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        *KEPT,
        "greenlet-3.5.6.dist-info/RECORD",
        "../../../bin/midstream",
    ]
