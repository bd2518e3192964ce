"""The dashboard in a real browser: a server process, a database to write to, and pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from clients.power.calendar import local_day
from tests.support.missing_tools import chromium
from tests.support.ports import free_port
from tests.support.reporting_desk import Desk, MadeDeal, sqlite_url
from tests.support.server_process import SERVING, server_process

__all__ = ["CHROMIUM", "NEEDS_CHROMIUM", "PATIENCE_MS", "SECOND_NS", "Screen", "cells", "screen"]

CHROMIUM = chromium()
PATIENCE_MS = 20_000
SECOND_NS = 1_000_000_000
HOUR_NS = 3_600_000_000_000
NEEDS_CHROMIUM = pytest.mark.needs("chromium")


class Screen:
    """A running desk, and a browser in front of it."""

    def __init__(self, desk: Desk, browser: Browser, url: str, *, pid: int = 0) -> None:
        self.desk = desk
        self.browser = browser
        self.url = url
        self.pid = pid
        self.tomorrow = (local_day(time.time_ns()) + timedelta(days=1)).isoformat()
        self.complaints: list[str] = []

    async def open(
        self, query: str = "", *, width: int = 1280, height: int = 844, pages: int = 1, **more: Any
    ) -> list[Page]:
        """Open pages as tabs of one browser, and wait until they are live."""
        context = await self.browser.new_context(viewport={"width": width, "height": height}, **more)
        opened = []
        for _ in range(pages):
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on(
                "console", lambda message: self.complaints.append(message.text) if message.type == "error" else None
            )
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            await page.goto(self.url + query)
            await page.wait_for_selector("#live.on")
            opened.append(page)
        return opened

    async def deal(self, price: str, quantity: str, direction: str, hour: str, trader: str = "flex_trader_1") -> None:
        """Let the listener's part happen."""
        made = MadeDeal(price, quantity, direction, self.tomorrow, hour, trader, execution_time_ns=time.time_ns())
        await self.desk.add_deals([made])

    async def price(self, hour: str, value: str) -> None:
        """Let the price process's part happen."""
        await self.desk.set_reference(self.tomorrow, hour, value, update_ns=time.time_ns())

    async def listener_is_well(self) -> None:
        """Let the listener be connected and hear deals, for longer than any test takes."""
        later_ns = time.time_ns() + HOUR_NS
        await self.desk.set_listener(updated_ns=later_ns, since_ns=time.time_ns(), last_message_ns=later_ns)

    def row(self, page: Page, hour: str) -> str:
        """The selector of a row."""
        return f'[id="row-{self.tomorrow}.{hour}"]'


@asynccontextmanager
async def screen(directory: Path, **more: str) -> AsyncIterator[Screen]:
    url = sqlite_url(directory)
    port = free_port()
    desk = await Desk.open(url)
    settings = {"DATABASE_URL": url, "REPORTING_WEB_PORT": str(port), "LOG_LEVEL": "warning", **more}
    server = server_process("reporting", directory, **settings)
    process = await asyncio.to_thread(server.__enter__)
    try:
        await asyncio.to_thread(process.wait_health, SERVING)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                shown = Screen(desk, browser, f"http://localhost:{port}/", pid=process.process.pid)
                await shown.listener_is_well()
                yield shown
            finally:
                await browser.close()
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)
        await desk.close()


async def cells(page: Page, selector: str) -> list[str]:
    """The texts of a row, as they are seen."""
    texts = await page.locator(f"{selector} > *").all_inner_texts()
    return [" ".join(text.split()) for text in texts]
