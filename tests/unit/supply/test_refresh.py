"""The list is written anew from what an OSV server answers, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from supply.advisories import hits, read_list
from supply.refresh import main

HASH = " \\\n    --hash=sha256:" + "a" * 64 + "\n"


class Osv(ThreadingHTTPServer):
    """Answers `/v1/query` in two pages, as OSV does for packages with a long history."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        self.version = "3.1.6"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(query)
        name = query["package"]["name"]
        if name != "jinja2":
            return {}
        page = "second" if query.get("page_token") else "first"
        package = {"ecosystem": "PyPI", "name": "Jinja2"}
        other = {"package": {"ecosystem": "Debian:12", "name": "jinja2"}, "ranges": []}
        spans = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": self.version}]}]
        vulns = [{"id": page, "details": "x" * 1000, "affected": [{"package": package, "ranges": spans}, other]}]
        return {"vulns": vulns, **({"next_page_token": "more"} if page == "first" else {})}


class _Handler(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.server.answer(query)).encode()
        self.send_response(self.server.status)
        self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "requirements.lock").write_text(f"Jinja2==3.1.2{HASH}h11==0.16.0{HASH}")
    return tmp_path


def test_all_packages_are_asked_for_and_covered(osv: Osv, tree: Path) -> None:
    path = tree / "list.json"

    assert main(["--url", osv.url, "--list", str(path)], root=tree) == 0

    found = read_list(path)
    assert {("PyPI", "jinja2"), ("PyPI", "h11"), ("npm", "htmx-org")} <= found.covers
    assert [each["id"] for each in found.advisories] == ["first", "second"]
    assert hits(found, "PyPI", "jinja2", "3.1.2", "")
    # No more of an advisory than a verdict needs.
    assert "details" not in path.read_text()
    assert "Debian" not in path.read_text()
    assert {query["package"]["name"] for query in osv.asked} >= {"jinja2", "h11", "uplot"}


@pytest.mark.parametrize("status", [302, 429, 500])
def test_when_one_question_fails_the_list_stays_as_it_was(
    osv: Osv, tree: Path, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tree / "list.json"
    path.write_text("before")
    osv.status = status

    assert main(["--url", osv.url, "--list", str(path)], root=tree) == 1

    assert path.read_text() == "before"
    assert "the list stays as it was" in capsys.readouterr().err


def test_an_answer_that_is_no_advisory_changes_nothing(osv: Osv, tree: Path) -> None:
    path = tree / "list.json"
    path.write_text("before")
    osv.version = "no version"

    assert main(["--url", osv.url, "--list", str(path)], root=tree) == 1

    assert path.read_text() == "before"
    assert sorted(each.name for each in tree.iterdir()) == ["list.json", "requirements.lock"]


def test_a_server_that_is_away_changes_nothing(tree: Path) -> None:
    assert main(["--url", "http://127.0.0.1:1", "--list", str(tree / "list.json")], root=tree) == 1
    assert not (tree / "list.json").exists()
