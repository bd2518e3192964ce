"""Every line's event is a constant and its values are fields, and the check behind this sentence works."""

from __future__ import annotations

import pytest

from tests.support.imports import ROOT
from tests.support.log_calls import complaints, complaints_of


def test_no_event_has_values_inside() -> None:
    assert complaints(ROOT) == []


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ('logger.info("engine started: pid=%s", pid)', "arguments instead of fields"),
        ('logger.info("engine started", pid)', "arguments instead of fields"),
        ('logger.warning(f"engine {pid} started")', "no constant"),
        ('logger.error("engine " + pid)', "no constant"),
        ('logger.error("engine %s" % pid)', "no constant"),
        ('logger.exception("engine {}".format(pid))', "no constant"),
        ("logger.info(text)", "no constant"),
        ('logger.log(logging.INFO, f"engine {pid}")', "no constant"),
        ('logger.log(logging.INFO, "engine started: %s", pid)', "arguments instead of fields"),
        ('self._logger.info("engine started: pid=7")', "place for a value"),
        ('logger.info("engine started: pid=" "%d" "!")', "place for a value"),
        ('logging.getLogger("x")\nlog.info("done", extra={"pid": 3})', "not `fields(...)`"),
        ('logger.info("done", extra=fields(level=3))', "field `level`"),
        ('logger.info("done", extra=fields(pid=1,\n  trace_id=3))', "field `trace_id`"),
        ('def read(fields):\n    logger.info("done", extra=fields(a=1))', "variable of that name"),
        ('def read():\n    for fields in found:\n        logger.info("x", extra=fields(a=1))', "variable of that name"),
    ],
)
def test_a_call_with_values_in_its_event_is_named(call: str, complaint: str) -> None:
    assert [complaint for _, text in complaints_of(call) if complaint in text] == [complaint]


@pytest.mark.parametrize(
    "call",
    [
        'logger.info("engine started")',
        'logger.info("engine killed: it did not drain", extra=fields(pid=pid, waited_s=3.0))',
        'logger.log(logging.INFO if serving else logging.WARNING, "health changed", extra=log_fields.fields(a=1))',
        'logger.exception("failed", exc_info=exc)',
        "dialog.show(f'{x}')",
        "math.log(x)",
    ],
)
def test_a_call_in_good_order_is_left_alone(call: str) -> None:
    assert list(complaints_of(call)) == []
