"""The pages that people read, and what they name: paths, modules, types, make targets, settings."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.imports import ROOT, module_file, source_files

# The changelog is not among them: it may name what is gone.
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)

_TOPS: Final = "services|clients|fastpath|protos|tests|benchmarks|docs|data|examples|requirements|supply|deploy"
_PATH: Final = re.compile(rf"(?<![\w/.{{}}-])((?:{_TOPS}|\.ci)/[\w.*{{}},/-]+)")
_DOTTED: Final = re.compile(r"(?<![\w/.-])((?:services|clients|fastpath|protos)(?:\.(?!md\b)\w+)+)(?![\w/])")
_FOLDER: Final = re.compile(r"`([a-z_]+)/`")
_FILE: Final = re.compile(r"`([a-z_0-9]+\.(?:py|pyx|hpp|proto))`")
_TYPE: Final = re.compile(r"`([A-Z][a-z]+[A-Z]\w+)`")


def shell_lines(text: str) -> list[str]:
    """Return the commands of every block without a language: one each, however many lines it takes, without remarks."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks = [block for language, block in fenced if not language]
    found: list[str] = []
    for line in (line for block in blocks for line in block.splitlines()):
        # Behind a backslash, or inside of quotes, the line before is not over.
        unfinished = bool(found) and (found[-1].endswith("\\") or found[-1].count("'") % 2 == 1)
        line = re.sub(r"\s+#\s.*$", "", line)
        if unfinished:
            found[-1] = f"{found[-1].removesuffix(chr(92)).rstrip()} {line.strip()}"
        else:
            found.append(line.rstrip())
    return found


def call_table(text: str) -> dict[str, list[str]]:
    """Return the rows of a page's table of calls by client: the name of the call, and a cell for each market."""
    rows = re.findall(r"^\| `([a-z_ ]+)` \|(.*)\|$", text.partition("## Client by call")[2], re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def run_program(text: str, *, place: str, at: str, folder: Path) -> str:
    """Run the one program of a page in a folder, with the address `at` where it says `place`; return what it prints."""
    [program] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ended = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", program.replace(place, at)],
        cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def wrong_names(text: str, root: Path = ROOT) -> list[str]:
    """Return the paths, modules and types that a text names and the tree does not have."""
    wrong = [path for path in _paths(text) if not any(root.glob(path.rstrip("/")))]
    wrong += [name for name in _DOTTED.findall(text) if not _is_module(name, root)]
    names = _names(root)
    wrong += [f"{name}/" for name in _FOLDER.findall(text) if name not in names]
    wrong += [name for name in _FILE.findall(text) if name not in names]
    words = _source_words(root)
    return wrong + [name for name in _TYPE.findall(text) if name not in words]


def _paths(text: str) -> Iterator[str]:
    for found in _PATH.findall(text):
        path = found.rstrip(".,*")
        before, brace, after = path.partition("{")
        parts, _, rest = after.partition("}")
        yield from (f"{before}{part.strip()}{rest}" for part in parts.split(",")) if brace else (path,)


def _is_module(name: str, root: Path) -> bool:
    """Tell whether a dotted name is a module, or something that its module spells."""
    if module_file(name, root) is not None:
        return True
    module, _, last = name.rpartition(".")
    file = module_file(module, root)
    return file is not None and file.is_file() and re.search(rf"\b{last}\b", file.read_text()) is not None


@functools.cache
def _names(root: Path) -> frozenset[str]:
    """Return the names of all files and folders of the tree."""
    tops = [*_TOPS.split("|"), ".ci"]
    below = {path.name for top in tops if (root / top).is_dir() for path in (root / top).rglob("*")}
    return frozenset({*below, *tops, *(path.name for path in root.glob("*"))})


@functools.cache
def _source_words(root: Path) -> frozenset[str]:
    """Return every identifier of the sources and the protos."""
    files = [*source_files(root), *(root / "protos").rglob("*.proto"), *(root / "fastpath").glob("*.hpp")]
    return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text(encoding="utf-8")))
