"""The page of `midstream whatif` in a real browser, which is kept from asking anybody for anything."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from services.cli.whatif.page import TICKERS_DRAWN
from tests.support.cli import midstream_here
from tests.support.history_files import TICKERS, Quirks, history_text
from tests.support.missing_tools import chromium


@pytest.mark.needs("chromium")
async def test_page_draws_its_plots_without_the_network(tmp_path: Path) -> None:
    file, page_file = tmp_path / "a.csv", tmp_path / "page.html"
    file.write_bytes(history_text(random.Random(1), Quirks(rows=2000)))
    done = midstream_here("whatif", file, "--latency", "lognormal:p50=4ms,p99=90ms", "--html", page_file)
    assert done.code == 0
    complaints: list[str] = []
    asked: list[str] = []

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = await browser.new_page(offline=True)
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            await page.goto(page_file.as_uri())
            plots = await page.locator("canvas").count()
            # A pixel that is not empty has been drawn on.
            drawn = await page.evaluate(
                "[...document.querySelectorAll('canvas')].filter((canvas) => canvas.getContext('2d')"
                ".getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value)).length"
            )
            headings = await page.locator("h3").all_inner_texts()
        finally:
            await browser.close()

    assert complaints == []
    assert asked == [page_file.as_uri()]
    tickers = min(len(TICKERS), TICKERS_DRAWN)
    assert (plots, drawn) == (1 + 2 * tickers, 1 + 2 * tickers)
    assert {heading.partition(":")[0] for heading in headings} == set(TICKERS)
