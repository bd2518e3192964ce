"""The made documents are what their makers make, keep to what their recordings show, and hold nothing that was copied."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.make import FOLDER, files
from tests.support.contracts import MISSING, RECORDED, documents, judges
from tests.support.simulated_shapes import lacking

NAMES = sorted(name.removesuffix(".json") for name in files())
UNMADE = frozenset({"types", "description", "account", "text", "clOrdLinkID", "displayQty", "stopPx", "pegOffsetValue"})
"""What only recordings have: descriptions of columns, notes of another client, fields that are always null."""
EXCUSED = {
    # One edited recording gives spot the times that only futures have.
    "binance/spot/ticker_frame": {"T", "E"},
    # Text in captures, a number in what is documented.
    "binance/usdm/instruments": {"autoAssetExchange"},
    "binance/spot/order_as_texts": {"type", "timeInForce", "remaining", "status"},
    "bitmex/answers": {
        *("settlCurrency", "contingencyType", "triggered", "ordRejReason"),
        *("type", "timeInForce", "price", "remaining", "status"),
    },
}
SPELLINGS = {
    # A delivery date that means never, and intervals, which are counted from a day of their own.
    4_133_404_800_000,
    "2000-01-01T01:00:00.000Z",
    "2000-01-01T08:00:00.000Z",
    # The route of the open orders of a symbol.
    "/api/v1/order?symbol=XBT_USDT&filter=%7B%22open%22%3Atrue%7D",
}
"""Of the exchanges, and always the same."""


def test_the_files_are_what_their_makers_make() -> None:
    found = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.json")}

    assert found == files(), "run `python -m tests.fixtures.make`"


def test_every_file_says_where_its_shape_is_from_and_that_its_values_are_ours() -> None:
    for name in NAMES:
        (made, *_) = documents(name)
        assert made.made
        text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        assert re.search(r'"shape": "(binance|bitmex)\.md, \d', text), name
        assert '"values": "our own"' in text


@pytest.mark.skipif(not RECORDED.is_dir(), reason=MISSING)
def test_recordings_judge_the_made_documents() -> None:
    """What a recording has, the made document has too, as the same kind of value, and no figure or id of it."""
    index = {row["file"]: row["provenance"] for row in _index()}
    problems = {}
    for name in NAMES:
        made, *recorded = documents(name)
        for recording in recorded:
            assert judges(name)[recording.source] == index[recording.source]
            without = UNMADE | frozenset(EXCUSED.get(name, ()))
            assert made.status == recording.status
            found = lacking(made.plain, recording.plain, without=without)
            copied = set(_long(made.plain)) & set(_long(recording.plain)) - SPELLINGS
            if found or copied:
                problems[f"{name}, {recording}"] = (found, copied)
    assert problems == {}


def _index() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((RECORDED / "index.json").read_text(encoding="utf-8"))["cases"]
    return found


def _long(value: Any) -> Iterator[Any]:
    """Yield what could only be alike because it was copied: ids, times and figures of many digits."""
    if isinstance(value, dict):
        for member in value.values():
            yield from _long(member)
    elif isinstance(value, list):
        for member in value:
            yield from _long(member)
    elif isinstance(value, str):
        digits = re.sub(r"\D", "", value).strip("0")
        if len(digits) > 5:
            yield value
    elif isinstance(value, int) and not isinstance(value, bool) and len(str(abs(value)).rstrip("0")) > 5:
        yield value
