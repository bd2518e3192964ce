"""Fields ride on a record beside its event, whatever they are called."""

from __future__ import annotations

import logging

import pytest

from clients.logs import RESERVED, fields, fields_of

logger = logging.getLogger("clients.test")


def test_a_record_carries_its_fields_with_their_types(caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("engine ended", extra=fields(code=3, graceful=False, after_s=0.5, reason=None))

    assert fields_of(caplog.records[0]) == {"code": 3, "graceful": False, "after_s": 0.5, "reason": None}
    assert caplog.records[0].getMessage() == "engine ended"


@pytest.mark.parametrize("name", ["message", "args", "name", "module", "asctime", "exc_info"])
def test_a_field_named_like_an_attribute_of_records_harms_nothing(name: str, caplog: pytest.LogCaptureFixture) -> None:
    # The standard library raises KeyError where `extra` itself holds one of these.
    logger.warning("engine ended", extra=fields(**{name: "x"}))

    assert fields_of(caplog.records[0]) == {name: "x"}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_keeps_its_meaning_and_the_value_is_kept_beside_it(name: str) -> None:
    logger_record = logging.makeLogRecord(fields(**{name: 1}))

    assert fields_of(logger_record) == {f"{name}_": 1}


def test_a_record_of_others_has_none() -> None:
    assert fields_of(logging.makeLogRecord({"msg": "x"})) == {}
