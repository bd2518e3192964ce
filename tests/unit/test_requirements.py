"""The pins of `requirements.txt` are what running needs: nothing is missing, nothing more comes along."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.imports import PACKAGES, ROOT, imports_of, modules_below

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = (
    "requirements.txt",
    "requirements/build.txt",
    "requirements/check.txt",
    "requirements/extras.txt",
    "tests/requirements.txt",
)
TOGETHER = (*FILES, "tests/third_parties.txt", "tests/deployment.txt")
"""What one environment can hold at once."""
EVERY_FILE = (*TOGETHER, "tests/engines.txt", "requirements/locking.txt", "benchmarks/requirements.txt")
EXTRAS = ("aws", "jwt", "tracing")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
_LOCKED = re.compile(r"(\S+==\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def pins(file: str) -> dict[str, str]:
    lines = [line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    named = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(each.name): str(each.specifier) for each in named}


def needed(requirements: list[str]) -> set[str]:
    """Return everything that installing these brings on this Python, as the installed packages say."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        if (name, frozenset(each.extras)) in found:
            continue
        found.add((name, frozenset(each.extras)))
        for text in metadata.distribution(name).requires or ():
            more = Requirement(text)
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in each.extras | {""}):
                waiting.append(more)
    return {name for name, _ in found}


def test_running_is_pinned_whole_and_brings_nothing_else() -> None:
    assert set(pins("requirements.txt")) == needed(PROJECT["project"]["dependencies"])


def test_the_product_imports_nothing_that_running_does_not_bring() -> None:
    installed = metadata.packages_distributions()
    # The extras: `aws` is imported where a key lies in Parameter Store, `jwt` where tokens are taken, `tracing` where spans are sent.
    brought = {*pins("requirements.txt"), *pins("requirements/extras.txt")}

    tops = {each.module.split(".")[0] for path in modules_below(ROOT).values() for each in imports_of(path)}
    others = tops - sys.stdlib_module_names - set(PACKAGES)
    assert {
        top for top in others if not brought & {canonicalize_name(name) for name in installed.get(top, ())}
    } == set()
    assert len(others) > 20


def test_the_extras_are_pinned_whole_and_bring_nothing_else() -> None:
    extras = [text for extra in EXTRAS for text in PROJECT["project"]["optional-dependencies"][extra]]

    assert set(pins("requirements/extras.txt")) == needed(extras) - set(pins("requirements.txt"))


def test_building_is_pinned_whole() -> None:
    assert set(pins("requirements/build.txt")) == needed(PROJECT["build-system"]["requires"])


def test_checking_is_pinned_whole() -> None:
    pinned = {name for file in FILES for name in pins(file)}

    assert needed(PROJECT["project"]["optional-dependencies"]["dev"]) <= pinned


@pytest.mark.needs("cfn-lint")
def test_what_judges_deployments_is_pinned_whole() -> None:
    pinned = {name for file in TOGETHER for name in pins(file)}

    assert needed(PROJECT["project"]["optional-dependencies"]["deployment"]) <= pinned


@pytest.mark.parametrize("file", EVERY_FILE)
def test_every_pin_is_exact_and_sorted(file: str) -> None:
    lines = [line for line in Path(ROOT / file).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]

    assert lines == sorted(lines, key=str.lower)
    assert all(specifier.startswith("==") and "," not in specifier for specifier in pins(file).values())


def test_nothing_is_pinned_twice() -> None:
    names = [name for file in TOGETHER for name in pins(file)]

    assert len(names) == len(set(names))


def test_what_is_pinned_in_several_files_has_one_version() -> None:
    # All of them go into one environment, one after the other: what one target installs, another target's tests look at.
    pinned = {(name, text) for file in (*TOGETHER, "benchmarks/requirements.txt") for name, text in pins(file).items()}

    assert len(pinned) == len({name for name, _ in pinned}), sorted(pinned)


def test_every_range_of_the_project_holds_its_pin() -> None:
    pinned = {name: text.removeprefix("==") for file in TOGETHER for name, text in pins(file).items()}
    extras = PROJECT["project"]["optional-dependencies"]
    ranges = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["build-system"]["requires"],
        *extras["dev"],
        *extras["test"],
        *extras["deployment"],
        *(text for extra in EXTRAS for text in extras[extra]),
    ]

    outside = [
        text
        for text in ranges
        if pinned.get(canonicalize_name(Requirement(text).name), "0") not in Requirement(text).specifier
    ]
    assert outside == []


def locked(file: str) -> dict[str, tuple[str, list[str]]]:
    """Return version and hashes of every package in a lock file, of which nothing may be left that is neither."""
    comment, _, text = (ROOT / file).with_suffix(".lock").read_text(encoding="utf-8").partition("\n")
    assert file in comment
    assert _LOCKED.sub("", text) == "", "a lock file holds pins and hashes alone: no address of an index, no option"
    found = [(Requirement(pin), re.findall(r"sha256:(\w+)", hashes)) for pin, hashes in _LOCKED.findall(text)]
    return {canonicalize_name(pin.name): (str(pin.specifier), hashes) for pin, hashes in found}


@pytest.mark.parametrize("file", EVERY_FILE)
def test_every_pin_is_locked_to_its_files(file: str) -> None:
    lock = locked(file)

    assert {name: version for name, (version, _) in lock.items()} == pins(file), (
        f"run `make lock` after changing {file}"
    )
    assert all(len(hashes) == len(set(hashes)) > 0 for _, hashes in lock.values())


def test_the_locks_are_what_make_installs_and_nothing_goes_round_them() -> None:
    pip = re.compile(r"^\t.*\$\((?:PIP|LOCKED)\).*", re.MULTILINE)

    installs = pip.findall(MAKEFILE)
    round_them = [line for line in installs if "$(LOCKED)" not in line]
    assert (
        "--require-hashes --only-binary :all:"
        in subprocess.run(
            ["make", "--dry-run", "--always-make", "bench"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    )
    # Ourselves, whose dependencies are there by then, and who build with what is there.
    assert [re.search(r"\$\(PIP\) (.*)", line)[1] for line in round_them] == [  # type: ignore[index]
        "--no-deps --no-build-isolation --editable ."
    ]
    files = re.findall(r"-r (\S+)", "\n".join(installs))
    assert {Path(file).with_suffix(".txt").as_posix() for file in files} == set(EVERY_FILE)
    assert all(file.endswith(".lock") for file in files)
    assert set(re.findall(r"\S+\.txt", re.search(r"^PINS := ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)[1])) == set(
        EVERY_FILE
    )  # type: ignore[index]


def test_pip_refuses_a_file_that_is_not_the_locked_one(tmp_path: Path) -> None:
    # A package index that serves something else under a name and a version of ours.
    wheel = tmp_path / "click-8.5.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("click/__init__.py", "")
        archive.writestr("click-8.5.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: click\nVersion: 8.5.1\n")
        archive.writestr(
            "click-8.5.1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("click-8.5.1.dist-info/RECORD", "")
    pin = next(
        block for block in _LOCKED.finditer((ROOT / "requirements.lock").read_text()) if block[1] == "click==8.5.1"
    )
    (tmp_path / "one.lock").write_text(pin[0])
    asked = subprocess.run(
        ["make", "--dry-run", "--always-make", "build-ext"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    options = re.search(r"pip (install .*) -r requirements\.lock", asked)
    assert options is not None

    done = subprocess.run(
        [sys.executable, "-m", "pip", *options[1].split(), "--no-index", "--find-links", tmp_path, "--target", tmp_path / "to",
         "-r", tmp_path / "one.lock"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
