"""No server knows an exchange by its name: what is an exchange's own stands in its folder, and lists of them in one place."""

from __future__ import annotations

import re

import pytest

from clients.exchanges.names import EXCHANGES
from tests.support.cli import ROOT

SERVICES = ROOT / "services"
NAMED = re.compile(
    # The simulators' own servers, modules and settings, and tickers of recorded files, are no exchanges.
    rf"(?<!sim-)(?<!services\.simulators\.)(?<!@)\b({'|'.join(EXCHANGES)})(?!Sim)",
    re.IGNORECASE,
)
TEXTS = (".py", ".jinja", ".html", ".js", ".css", ".toml", ".json")


def mentions(text: str) -> list[str]:
    """Lines that name an exchange, with their numbers."""
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if NAMED.search(line)]


def test_no_service_names_an_exchange() -> None:
    files = [
        path for path in SERVICES.rglob("*") if path.suffix in TEXTS and SERVICES / "simulators" not in path.parents
    ]
    found = {path.relative_to(ROOT).as_posix(): mentions(path.read_text()) for path in files}

    assert len(files) > 200
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line", ['if name == "bitmex":', "class BinanceDesk:", "from clients.exchanges.binance import x"]
)
def test_a_line_that_names_one_is_found(line: str) -> None:
    assert mentions(f"\n{line}\n") == [f"2: {line}"]
