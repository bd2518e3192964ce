"""What is in the image, and what is not."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.image_box import Image
from tests.support.image_scan import entries, scan
from tests.support.imports import ROOT

pytestmark = pytest.mark.image
BYTES_MAX = 300_000_000


def site_packages(image: Image) -> Path:
    (found,) = image.rootfs.glob("opt/midstream/lib/python3*/site-packages")
    return found


def test_nothing_superfluous_or_dangerous_is_in_it(image: Image) -> None:
    found = scan(image.rootfs, owner=image.owner[0])

    assert found == []


def test_it_is_small(image: Image) -> None:
    files = {(each.status.st_dev, each.status.st_ino): each.status for each in entries(image.rootfs) if each.is_file}

    # As it lies on a disk, where a small file takes a block as well, and as it is transferred.
    on_disk, in_all = sum(each.st_blocks * 512 for each in files.values()), sum(each.st_size for each in files.values())
    assert max(on_disk, in_all) < BYTES_MAX, f"{in_all:,} bytes in {len(files):,} files, {on_disk:,} on disk"


def test_the_program_belongs_to_root_and_its_data_to_its_user(image: Image) -> None:
    files = image.rootfs / "var/lib/midstream"

    assert {each.status.st_uid for each in entries(image.rootfs / "opt/midstream")} == {0}
    assert (files.stat().st_uid, files.stat().st_gid) == image.owner == (10001, 10001)
    assert stat.S_IMODE(files.stat().st_mode) == 0o700
    assert os.listdir(files) == []


def test_every_module_is_compiled_and_stands_whatever_the_times_of_files(image: Image) -> None:
    site = site_packages(image)
    compiled = {
        each: list((each.parent / "__pycache__").glob(f"{each.stem}.cpython-*.pyc")) for each in site.rglob("*.py")
    }

    assert [str(each.relative_to(site)) for each, found in compiled.items() if len(found) != 1] == []
    # Flags: by hash, which nobody checks at a start. Times would have to survive every registry and file system on the way.
    assert {found.read_bytes()[4:8] for (found,) in compiled.values()} == {b"\x01\0\0\0"}


def test_what_its_packages_say_they_installed_is_there(image: Image) -> None:
    site = site_packages(image)
    records = list(site.glob("*.dist-info/RECORD"))

    named = [line.rsplit(",", 2)[0].strip('"') for each in records for line in each.read_text().splitlines()]
    assert len(records) > 50
    assert [each for each in named if not (site / each).exists()] == []


def test_every_library_finds_what_it_links_to(image: Image) -> None:
    libraries = [f"/{each.relative_to(image.rootfs)}" for each in site_packages(image).rglob("*.so*") if each.is_file()]

    done = subprocess.run(
        ["chroot", str(image.rootfs), "/usr/bin/ldd", *libraries],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert len(libraries) > 30
    assert [line for line in done.stdout.splitlines() if "not found" in line] == []


def test_what_is_pinned_is_what_is_installed(image: Image) -> None:
    pins = "".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("requirements.txt", "requirements/extras.txt")
    )
    pinned = {_spelled(line.replace("==", "-")) for line in pins.splitlines() if "==" in line and line[0] != "#"}

    installed = {_spelled(each.name.removesuffix(".dist-info")) for each in site_packages(image).glob("*.dist-info")}
    assert {each for each in installed if not each.startswith("midstream-")} == pinned


def _spelled(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
