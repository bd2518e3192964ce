"""The scan of the image finds what it is there for: every rule is shown a fault, and finds it under its own name."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import image_scan
from tests.support.image_scan import RULES, Finding, scan

NOBODY = 1_234_567
"""Who owns nothing here."""


def file(place: str, text: str = "text", mode: int = 0o644) -> Callable[[Path], str]:
    def plant(root: Path) -> str:
        path = root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return place

    return plant


def folder(place: str, mode: int = 0o755) -> Callable[[Path], str]:
    def plant(root: Path) -> str:
        path = root / place.lstrip("/")
        path.mkdir(parents=True)
        path.chmod(mode)
        return place

    return plant


def pipe(root: Path) -> str:
    (root / "run").mkdir()
    os.mkfifo(root / "run/pipe")
    return "/run/pipe"


def listening(root: Path) -> str:
    # By a name relative to the folder: paths of sockets are short.
    before = os.getcwd()
    os.chdir(root)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(before)
    return "/socket"


SITE = "/opt/midstream/lib/python3.13/site-packages"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n"
FAULTS = {
    "compiler or build tool": [
        file("/usr/bin/gcc"),
        file("/usr/bin/x86_64-linux-gnu-g++-14"),
        file("/usr/bin/make"),
        file("/usr/libexec/gcc/x86_64-linux-gnu/14/cc1plus"),
        file("/opt/midstream/bin/cython"),
        file("/usr/bin/python3.13-config"),
    ],
    "installer": [
        file("/opt/midstream/bin/pip3.13"),
        folder(f"{SITE}/pip"),
        folder(f"{SITE}/setuptools-84.2.1.dist-info"),
        folder("/usr/lib/python3.13/ensurepip"),
    ],
    "tool that only an intruder needs": [file("/usr/bin/curl"), file("/usr/bin/vim.tiny")],
    "tests": [folder(f"{SITE}/greenlet/tests"), folder("/usr/lib/python3.13/test"), folder("/opt/midstream/tests")],
    "version control": [folder("/src/.git"), folder("/opt/midstream/.ci"), file("/.gitignore")],
    "source for a compiler": [file(f"{SITE}/fastpath/merge.pyx"), file("/usr/include/python3.13/Python.h")],
    "cache or download": [
        file("/var/lib/apt/lists/deb.debian.org_dists_trixie_InRelease"),
        file("/var/cache/apt/archives/g++.deb"),
        file("/root/notes.txt"),
        file("/tmp/wheel/midstream.whl"),
        folder("/var/lib/midstream/.cache"),
    ],
    "log": [file("/var/log/dpkg.log")],
    "documentation": [file("/usr/share/man/man1/ls.1.gz"), file("/usr/share/doc/python3/README.Debian")],
    "setuid, setgid or capability": [file("/usr/bin/su", mode=0o4755), file("/usr/bin/wall", mode=0o2755)],
    "writable by anybody": [file("/etc/motd", mode=0o666), folder("/srv", mode=0o777)],
    "device, socket or pipe": [pipe, listening],
    "secret": [
        file("/etc/ssl/private/server.pem", KEY),
        file("/etc/pip.conf"),
        file("/opt/midstream/.env"),
        file("/var/lib/midstream/.netrc"),
    ],
}
CASES = [
    pytest.param(name, plant, id=f"{name} {number}")
    for name, plants in FAULTS.items()
    for number, plant in enumerate(plants)
]


@pytest.mark.parametrize(("rule", "plant"), CASES)
def test_a_planted_fault_is_found_by_its_rule(tmp_path: Path, rule: str, plant: Callable[[Path], str]) -> None:
    place = plant(tmp_path)

    assert Finding(rule, place) in scan(tmp_path, owner=NOBODY)


def test_what_the_servers_could_change_is_found(tmp_path: Path) -> None:
    file("/opt/midstream/bin/midstream", mode=0o755)(tmp_path)
    folder("/var/lib/midstream", mode=0o700)(tmp_path)

    found = {each.place for each in scan(tmp_path, owner=os.getuid()) if each.rule.startswith("a program's file")}

    assert "/opt/midstream/bin/midstream" in found
    assert "/var/lib/midstream" not in found


def test_a_capability_of_a_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file("/usr/bin/ping", mode=0o755)(tmp_path)
    monkeypatch.setattr(image_scan, "_attributes", lambda path: ["security.capability"])

    assert Finding("setuid, setgid or capability", "/usr/bin/ping") in scan(tmp_path, owner=NOBODY)


def test_every_rule_has_been_shown_a_fault() -> None:
    assert {*FAULTS, "a program's file that its servers own"} == set(RULES)


def test_what_belongs_there_is_left_alone(tmp_path: Path) -> None:
    for plant in (
        file("/usr/bin/python3.13", mode=0o755),
        file("/opt/midstream/bin/midstream", mode=0o755),
        file(f"{SITE}/services/reporting/web/assets/page.js"),
        file(f"{SITE}/sqlalchemy/testing/__init__.py"),
        file(f"{SITE}/greenlet-3.5.6.dist-info/licenses/LICENSE"),
        file("/usr/share/doc/python3/copyright"),
        file("/etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n"),
        file("/var/log/btmp", ""),
        file("/root/.profile"),
        folder("/tmp", mode=0o1777),
        folder("/var/lib/apt/lists/partial"),
        folder("/var/lib/midstream", mode=0o700),
    ):
        plant(tmp_path)

    assert scan(tmp_path, owner=NOBODY) == []
