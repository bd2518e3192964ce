"""docs/logs.md says what the code does: fields, spans, settings."""

from __future__ import annotations

import json
import logging
import re

from clients.logs import RESERVED, fields
from services.runtime.access import METHODS, Role
from services.runtime.ecs_task import METADATA_VARIABLE
from services.runtime.log_lines import ITEMS_MAX, TEXT_MAX, Origin, event_of
from services.runtime.tracing import FLUSH_S
from tests.support.imports import ROOT, source_files

PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"^```json\n(.*?)\n```", PAGE, re.MULTILINE)]
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in source_files(ROOT) if path.suffix == ".py")


def test_the_table_of_fields_has_every_reserved_name_and_no_other() -> None:
    table = PAGE.partition("| field | what |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == RESERVED


def test_examples_are_lines_as_they_are_made() -> None:
    record = logging.makeLogRecord(
        {
            "name": "services.runtime.engine_process", "levelname": "WARNING", "msg": "engine restarts",
            **fields(module="services.replay.engine", code=-9, attempt=1, delay_s=0.217),
        }
    )  # fmt: skip
    made = event_of(record, Origin(server="replay", stage="prod", task=EXAMPLES[0]["task"]), {})

    assert list(EXAMPLES[0]) == list(made)
    assert EXAMPLES[0] | {"timestamp": ""} == made | {"timestamp": ""}


def test_every_event_and_span_that_the_page_names_is_in_the_code() -> None:
    for text in (
        "engine restarts",
        "state-changing call",
        "intent applied",
        "place order",
        "ask for order",
        "apply intent",
    ):
        assert text in PAGE
        assert f'"{text}"' in SOURCES
    assert METHODS[EXAMPLES[1]["method"]] is not Role.READ


def test_numbers_and_variables_are_those_of_the_code() -> None:
    assert f"{TEXT_MAX:,} characters" in PAGE
    assert f"a list {ITEMS_MAX} items" in PAGE
    assert METADATA_VARIABLE in PAGE
    assert FLUSH_S == 2.0
