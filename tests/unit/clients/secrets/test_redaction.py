"""Registered secrets do not reach a log line (S07, S18)."""

from __future__ import annotations

import base64
import io
import json
import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.secrets import ApiKey, RedactingFormatter, Redactor, redact_logs
from services.runtime.log_lines import JsonFormatter, Origin

SECRET = 'canary/secret+51be02="x"'


@pytest.mark.quick
@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        repr(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
    ],
    ids=["plain", "percent", "JSON", "repr", "base64", "base64 for URLs", "hex"],
)
def test_s18_a_secret_is_masked_however_it_was_written(form: str) -> None:
    redactor = Redactor()
    redactor.add(SECRET)

    text = redactor.redact(f"before {form} after")

    assert "***" in text
    assert form.rstrip("=") not in text
    assert text.startswith("before ***")


def test_both_halves_of_a_key_are_masked() -> None:
    redactor = Redactor()
    redactor.add(ApiKey("canary-key-id", "canary-secret"))

    assert redactor.redact("canary-key-id:canary-secret") == "***:***"


def test_a_secret_that_begins_with_another_is_masked_whole() -> None:
    redactor = Redactor()
    redactor.add("canary-secret")
    redactor.add("canary-secret-and-more")

    assert redactor.redact("canary-secret-and-more") == "***"


def test_without_secrets_text_stays_as_it_is_and_short_words_are_never_eaten() -> None:
    redactor = Redactor()
    assert redactor.redact("anything") == "anything"

    redactor.add("any")

    assert redactor.redact("anything") == "anything"


def test_a_rotated_key_stays_masked_until_many_others_have_come() -> None:
    redactor = Redactor()
    for number in range(64):
        redactor.add(f"canary-secret-{number:04}")
    assert redactor.redact("canary-secret-0000") == "***"

    redactor.add("canary-secret-0064")

    assert redactor.redact("canary-secret-0000") == "canary-secret-0000"
    assert redactor.redact("canary-secret-0064") == "***"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40), st.text(), st.text())
def test_no_text_keeps_a_registered_secret(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(secret)

    text = redactor.redact(before + secret + after)

    # A mask may complete another occurrence only if the secret itself looks like one.
    assert secret not in text or "*" in secret


def test_s07_s18_message_arguments_exception_and_stack_are_masked_in_rendered_logs() -> None:
    redactor = Redactor()
    redactor.add(SECRET)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(Origin(server="test"), dict))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    redact_logs(logger, redactor)
    redact_logs(logger, redactor)

    try:
        raise RuntimeError(f"GET /order?signature={quote(SECRET, safe='')} {SECRET}")
    except RuntimeError:
        logger.exception("failed: %s", SECRET, stack_info=True)

    line = stream.getvalue()
    event = json.loads(line)
    assert SECRET not in line
    assert "51be02" not in line
    assert event["event"] == "failed: ***"
    assert "RuntimeError" in event["exception"]


def test_a_handler_without_a_formatter_is_masked_too() -> None:
    redactor = Redactor()
    redactor.add(SECRET)
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    redact_logs(logger, redactor)

    logger.warning("with %s", SECRET)

    assert stream.getvalue() == "with ***\n"
    assert isinstance(logger.handlers[0].formatter, RedactingFormatter)
