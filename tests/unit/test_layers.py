"""ARCHITECTURE.md's table of folders is the truth about imports, and the check behind this sentence works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.imports import ROOT
from tests.support.layers import BadTable, forbidden, read_table, without_row

MAP = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

TABLE = """# A map

## Folders
| folder | what | may import |
|---|---|---|
| `fastpath/` | kernels | nothing of ours |
| `clients/http/`, `clients/sockets/` | the wire | `clients/{base,words}` |
| `clients/{base,words}/` | below | nothing of ours |
| `services/runtime/` | the floor | fastpath, clients |
| `services/desk/` | a server | runtime |
| `services/cli/` | starts everything | all |

## Tests
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small source tree that keeps to TABLE."""
    for file, text in {
        "fastpath/kernel.pyx": "from fastpath.header cimport Layout\nimport cython\n",
        "fastpath/header.pxd": "cdef class Layout: pass\n",
        "clients/__init__.py": "",
        "clients/base/one.py": "import json\n",
        "clients/words/two.py": "",
        "clients/http/call.py": "from clients.base import one\nfrom clients.http import other\n",
        "clients/http/other.py": "",
        "clients/sockets/dial.py": "import clients.words.two\n",
        "services/__init__.py": "",
        "services/runtime/server.py": "import fastpath.kernel\nfrom clients.http.call import get\n",
        "services/desk/server.py": "from services.runtime.server import Server\n",
        "services/cli/main.py": "import services.desk.server\n",
    }.items():
        write(tmp_path, file, text)
    return tmp_path


def write(root: Path, file: str, text: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text, encoding="utf-8")


def test_every_import_is_one_that_the_map_allows() -> None:
    assert forbidden(ROOT, read_table(MAP)) == []


def test_every_folder_has_a_row_and_every_row_a_folder() -> None:
    assert without_row(ROOT, read_table(MAP)) == []


def test_a_tree_that_keeps_to_its_table_passes(tree: Path) -> None:
    layers = read_table(TABLE)

    assert forbidden(tree, layers) == []
    assert without_row(tree, layers) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        pytest.param(
            "services/desk/engine.py",
            "import services.cli.main\n",
            "services/desk/engine.py:1: services/desk may not import services.cli.main",
            id="another service",
        ),
        pytest.param(
            "clients/http/call.py",
            "from __future__ import annotations\n\nfrom services.runtime import server, web\n",
            "clients/http/call.py:3: clients/http may not import services.runtime.server",
            id="upwards",
        ),
        pytest.param(
            "services/desk/names.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from clients.http.call import get\n",
            "services/desk/names.py:3: services/desk may not import clients.http.call",
            id="for type checkers only",
        ),
        pytest.param(
            "services/desk/late.py",
            "def late():\n    from clients.base.one import x\n",
            "services/desk/late.py:2: services/desk may not import clients.base.one",
            id="inside a function",
        ),
        pytest.param(
            "services/desk/whole.py",
            "from clients import base\n",
            "services/desk/whole.py:1: services/desk may not import clients.base",
            id="a folder by name",
        ),
        pytest.param(
            "fastpath/kernel.pyx",
            "import cython\nfrom clients.base.one cimport x\n",
            "fastpath/kernel.pyx:2: fastpath may not import clients.base.one",
            id="from a kernel",
        ),
        pytest.param(
            "services/__init__.py",
            "import services.desk\n",
            "services/__init__.py:1: no row may not import services.desk",
            id="outside every row",
        ),
    ],
)
def test_an_import_that_the_table_forbids_is_named(tree: Path, file: str, text: str, complaint: str) -> None:
    write(tree, file, text)

    assert complaint in forbidden(tree, read_table(TABLE))


def test_a_folder_whose_row_is_lost_is_named(tree: Path) -> None:
    lost = "\n".join(line for line in TABLE.splitlines() if "services/desk" not in line)

    assert without_row(tree, read_table(lost)) == ["no row for services/desk"]


def test_a_row_whose_folder_is_gone_is_named(tree: Path) -> None:
    more = TABLE.replace("| `services/cli/`", "| `services/gone/` | moved | runtime |\n| `services/cli/`")

    assert without_row(tree, read_table(more)) == ["no folder for the row services/gone"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        pytest.param("| `services/new/` | merged | ccxt | third parties |", "4 cells", id="merged with another table"),
        pytest.param("| `services/new/` | vague | whatever it needs |", "is no folder", id="a word that names nothing"),
        pytest.param("| `services/desk/` | again | all |", "two rows", id="the same folder again"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(line: str, complaint: str) -> None:
    with pytest.raises(BadTable, match=complaint):
        read_table(TABLE.replace("| `services/cli/`", f"{line}\n| `services/cli/`"))


def test_a_map_without_the_table_is_refused() -> None:
    with pytest.raises(BadTable, match="no section"):
        read_table(TABLE.replace("## Folders", "## Rooms"))
