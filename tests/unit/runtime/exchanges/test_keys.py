"""Keys of exchanges inside a server."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest

from clients.secrets.api_key import ApiKey
from clients.secrets.errors import SecretUnavailable
from services.runtime.errors import StartRefused
from services.runtime.exchanges.keys import REFRESH_S, ExchangeKey, load_key
from services.runtime.log_lines import JsonFormatter, Origin
from tests.support.virtual_time import VirtualLoop, run_virtual

pytestmark = pytest.mark.quick

FIRST = ApiKey("first-key-identifier", "first-canary-secret")
SECOND = ApiKey("second-key-identifier", "second-canary-secret")


class Store:
    """Gives what it was told to, in turn, then always the last."""

    def __init__(self, *answers: ApiKey | Exception) -> None:
        self.answers = list(answers)

    async def key(self) -> ApiKey:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def logged() -> object:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(Origin(server="test"), dict))
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def test_a_rotated_key_is_used_from_the_next_minute_on() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        key = ExchangeKey("binance", Store(SecretUnavailable("away"), SECOND), FIRST)
        seen = [key.reveal()]
        for _ in range(2):
            await asyncio.sleep(REFRESH_S + 1)
            seen.append(key.reveal())
        await key.close()
        return seen

    assert run_virtual(main) == ["first-canary-secret", "first-canary-secret", "second-canary-secret"]


def test_no_log_line_shows_a_key_that_was_loaded(logged: io.StringIO) -> None:
    async def main() -> None:
        environ = {"MIDSTREAM_BINANCE_API_KEY": FIRST.key_id, "MIDSTREAM_BINANCE_API_SECRET": FIRST.reveal()}
        key = await load_key("binance", environ)
        assert key is not None
        try:
            raise ValueError(f"call failed: signature of {key.reveal()}")
        except ValueError:
            logging.getLogger("test").exception("key=%s %r", key.key_id, key)
        await key.close()

    asyncio.run(main())

    text = logged.getvalue()
    assert "call failed" in text
    assert FIRST.reveal() not in text
    assert FIRST.key_id not in text


def test_half_a_key_is_refused() -> None:
    with pytest.raises(StartRefused, match="MIDSTREAM_BINANCE_API_SECRET"):
        asyncio.run(load_key("binance", {"MIDSTREAM_BINANCE_API_KEY": "only-one-half-of-it"}))


def test_without_a_key_there_is_none() -> None:
    assert asyncio.run(load_key("binance", {})) is None
