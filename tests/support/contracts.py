"""Documents of exchanges: one of our own making always, and the recordings that judge it where they are at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from clients.exchanges.exact_json import parse_json

MADE = Path(__file__).parents[1] / "fixtures" / "exchanges"
SHEETS = Path(os.environ.get("MIDSTREAM_SHARED", Path(__file__).parents[3] / "shared")) / "exchanges"
RECORDED = SHEETS / "recorded"
MISSING = f"no recordings at {RECORDED}: set MIDSTREAM_SHARED to where they are, and they judge the made documents, too"


@dataclass(frozen=True)
class Document:
    """A document, made or recorded. `source` says which one it is in the name of a test."""

    source: str
    text: str

    @property
    def made(self) -> bool:
        """Whether it is of our own making."""
        return self.source == "made"

    @property
    def exact(self) -> Any:
        """The body, with exact numbers as our clients read them."""
        return _body(parse_json(self.text.encode()))

    @property
    def plain(self) -> Any:
        """The body as `json` reads it."""
        return _body(json.loads(self.text))

    @property
    def status(self) -> int:
        """The status of an answer; 200 where none is said."""
        document = json.loads(self.text)
        return int(document["response"].get("status", 200)) if _is_answer(document) else 200

    def __str__(self) -> str:
        return self.source


def made(name: str) -> Document:
    """Return the made document of this name."""
    return Document("made", json.dumps(_file(name)["payload"], ensure_ascii=False))


def documents(name: str) -> list[Document]:
    """Return the made document and, where they are at hand, the recordings that judge it."""
    return [made(name), *(Document(file, _recorded_text(file)) for file in judges(name) if RECORDED.is_dir())]


def over(*names: str) -> pytest.MarkDecorator:
    """Run a test with every document of these names, as its argument `document`."""
    found = [(name, document) for name in names for document in documents(name)]
    several = len(names) > 1
    ids = [f"{name}, {document}" if several and document.made else str(document) for name, document in found]
    return pytest.mark.parametrize("document", [document for _, document in found], ids=ids)


def recorded(file: str) -> Document:
    """Return one recording; the test is skipped where they are not at hand."""
    if not RECORDED.is_dir():
        pytest.skip(MISSING)
    return Document(file, (RECORDED / file).read_text(encoding="utf-8"))


def judges(name: str) -> Mapping[str, str]:
    """Return the recordings that judge a made document, and the index's word for where each is from."""
    found: dict[str, str] = _file(name)["provenance"]["judged by"]
    return found


def signing_vectors(exchange: str) -> list[dict[str, Any]]:
    """Return our own vectors and, where they are at hand, the published ones."""
    path = SHEETS / "signing_vectors.json"
    published = json.loads(path.read_text(encoding="utf-8"))["vectors"] if path.exists() else []
    return [*made(f"{exchange}/signatures").plain, *(one for one in published if one["exchange"] == exchange)]


@cache
def _file(name: str) -> Any:
    return json.loads((MADE / f"{name}.json").read_text(encoding="utf-8"))


def _recorded_text(file: str) -> str:
    text = (RECORDED / file).read_text(encoding="utf-8")
    if file.endswith(".jsonl"):
        # One frame a line, each with the time at which it was received.
        return "[" + ",".join(line.split('"msg": ', 1)[1][:-1] for line in text.splitlines()) + "]"
    if file.endswith(".txt"):
        return _conversation(text)
    return text


def _conversation(text: str) -> str:
    """Return what was sent, answered and pushed; `|1|` stands for a request's id."""
    script = text.replace('"|1|"', "1").replace("|1|", "1")
    sent, answered = (line[2:] for line in script.splitlines()[:2])
    pushed = script.split("\n=", 1)[1].strip()
    return f'{{"sent": {sent}, "answered": {answered}, "pushed": {pushed}}}'


def _is_answer(document: Any) -> bool:
    return isinstance(document, dict) and "response" in document


def _body(document: Any) -> Any:
    # Some recordings hold the answer's body itself beside the request.
    return document["response"].get("body", document["response"]) if _is_answer(document) else document
