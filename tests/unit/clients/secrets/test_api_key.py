"""A key does not show itself (S18)."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import pytest

from clients.secrets import ApiKey, SecretRefused

KEY_ID = "canary-key-id-7f3a9c"
SECRET = "canary-secret-51be02"


@pytest.mark.quick
@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{!r}".format, "%s".__mod__, lambda key: f"{[key]}", lambda key: f"{key:}"],
    ids=["repr", "str", "format", "format repr", "percent", "in a list", "f-string"],
)
def test_s18_no_text_of_a_key_holds_either_half(show: object) -> None:
    text = show(ApiKey(KEY_ID, SECRET))  # type: ignore[operator]

    assert KEY_ID not in text
    assert SECRET not in text
    assert text.startswith(("ApiKey(#", "[ApiKey(#"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_s18_a_key_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled") as refusal:
        pickle.dumps(ApiKey(KEY_ID, SECRET), protocol)

    assert SECRET not in str(refusal.value)


def test_s18_a_traceback_with_locals_does_not_show_a_key() -> None:
    key = ApiKey(KEY_ID, SECRET)
    try:
        raise RuntimeError(f"cannot use {key}")
    except RuntimeError as exc:
        text = "".join(traceback.TracebackException.from_exception(exc, capture_locals=True).format())

    assert "ApiKey(#" in text
    assert SECRET not in text.replace(f"SECRET = {SECRET!r}", "")


def test_a_key_has_no_attributes_to_dump() -> None:
    key = ApiKey(KEY_ID, SECRET)

    assert not hasattr(key, "__dict__")
    with pytest.raises(TypeError):
        vars(key)


def test_a_copy_is_the_same_object() -> None:
    key = ApiKey(KEY_ID, SECRET)

    assert copy.copy(key) is key
    assert copy.deepcopy([key])[0] is key


def test_halves_are_given_where_they_are_asked_for() -> None:
    key = ApiKey(KEY_ID, SECRET)

    assert (key.key_id, key.reveal()) == (KEY_ID, SECRET)


def test_equality_is_by_value_and_keys_are_no_dictionary_keys() -> None:
    key = ApiKey(KEY_ID, SECRET)

    assert key == ApiKey(KEY_ID, SECRET)
    assert key != ApiKey(KEY_ID, SECRET + "x")
    assert key != ApiKey(KEY_ID + "x", SECRET)
    assert key != SECRET
    with pytest.raises(TypeError):
        hash(key)


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [
        ("", SECRET),
        (KEY_ID, ""),
        (KEY_ID, " " + SECRET),
        (KEY_ID, SECRET + "\n"),
        (KEY_ID, "ü" * 20),
        ("x" * 513, SECRET),
    ],
    ids=["no id", "no secret", "a blank", "a line end", "not ASCII", "too long"],
)
def test_what_no_exchange_issues_is_refused_without_being_shown(key_id: str, secret: str) -> None:
    with pytest.raises(SecretRefused) as refusal:
        ApiKey(key_id, secret)

    assert SECRET not in str(refusal.value)
    assert "xxx" not in str(refusal.value)


def test_a_logged_key_is_a_fingerprint(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("using %s", ApiKey(KEY_ID, SECRET))

    assert SECRET not in caplog.text
    assert f"#{ApiKey(KEY_ID, SECRET).fingerprint}" in caplog.text
