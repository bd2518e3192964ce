"""What is kept of an exchange's answer holds no secret, whatever way it is written."""

from __future__ import annotations

import random

import pytest

from services.orders.journal.ledger import _SECRET, cleaned

WORDS = ("signature", "apikey", "api-key", "API_SECRET", "Secret", "listenKey", "listen key", "TOKEN", "Authorization")


@pytest.mark.quick
@pytest.mark.parametrize("word", [*WORDS, "\u017fecret", "to\u212aen", "\u017fIGNATURE"])
@pytest.mark.parametrize(
    "shape", ['{{"a":1,"{}":"CANARY"}}', "x={}=CANARY&y=1", "{} : CANARY", '{{"{}" : CANARY,"b":2}}']
)
def test_what_looks_like_a_secret_is_not_kept(word: str, shape: str) -> None:
    assert "CANARY" not in cleaned(shape.format(word).encode())


def test_a_text_without_the_words_is_kept_as_it_is() -> None:
    answer = '{"symbol":"BTCUSDT","orderId":28,"msg":"Filter f\u00fcr \u20bf","status":"FILLED"}'

    assert cleaned(answer.encode()) == answer


@pytest.mark.parametrize("seed", range(20))
def test_the_short_way_is_the_long_way(seed: int) -> None:
    chance = random.Random(seed)
    parts = [
        *WORDS,
        *(word[:-1] for word in WORDS),
        "api",
        "listen",
        '"',
        ":",
        "=",
        " ",
        "&",
        ",",
        "{",
        "}",
        "x1",
        "\u017f",
    ]
    for _ in range(500):
        text = "".join(chance.choice(parts) for _ in range(chance.randrange(12)))
        assert cleaned(text.encode()) == _SECRET.sub(r"\1\2***", text)
