"""The dashboard in a real browser: what a trader sees, and when."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.support.desk_screen import CHROMIUM, NEEDS_CHROMIUM, PATIENCE_MS, Screen, cells, screen
from tests.support.ports import free_port
from tests.support.reporting_desk import Desk, sqlite_url
from tests.support.server_process import SERVING, server_process

XSS = '"><img src=x onerror="window.hit=1"><script>window.hit=2</script>'

pytestmark = NEEDS_CHROMIUM


@pytest.mark.quick
async def test_a_deal_and_a_price_appear_without_reload_in_figures_and_colour(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        (page,) = await shown.open()
        await page.evaluate("window.stayed = true")

        await shown.deal("10.2", "5", "sell", "15-16")
        await page.wait_for_selector(shown.row(page, "15-16"))
        first = await cells(page, shown.row(page, "15-16"))
        await shown.price("15-16", "9.8")
        await page.wait_for_selector(f"{shown.row(page, '15-16')} .verdict.up")
        second = await cells(page, shown.row(page, "15-16"))
        green = await page.locator(f"{shown.row(page, '15-16')} .verdict .main").evaluate(
            "e => getComputedStyle(e).color"
        )
        await shown.price("15-16", "13.4")
        await page.wait_for_selector(f"{shown.row(page, '15-16')} .verdict.down")
        third = await cells(page, shown.row(page, "15-16"))
        red = await page.locator(f"{shown.row(page, '15-16')} .verdict .main").evaluate(
            "e => getComputedStyle(e).color"
        )

        assert first[:7] == ["15-16", "", "5.00", "-5.00", "10.20", "none yet", "\u2013"]
        assert (second[4], second[6]) == ("10.20", "+0.40 +2.00")
        assert (third[4], third[6]) == ("10.20", "-3.20 -16.00")
        assert green != red
        assert await page.evaluate("window.stayed")
        assert shown.complaints == []


@pytest.mark.long
async def test_fifteen_pages_of_one_browser_stay_live_and_hear_of_a_deal_at_once(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        pages = await shown.open(pages=15)

        began_s = time.monotonic()
        await shown.deal("10.2", "5", "sell", "15-16")
        await asyncio.gather(*(page.wait_for_selector(shown.row(page, "15-16")) for page in pages))
        took_s = time.monotonic() - began_s

        # No claim about speed: only that nobody had to wait for another one's connection.
        assert took_s < PATIENCE_MS / 1_000
        assert shown.complaints == []


async def test_texts_of_others_stay_texts(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await shown.deal("10.2", "5", "sell", "15-16", trader=XSS)
        (page,) = await shown.open()

        await page.click(f"{shown.row(page, '15-16')} .period")
        await page.wait_for_selector("#drill [data-open]")
        seen = await page.locator(".deals td.name").first.inner_text()
        await page.click("#trader-1")
        await page.wait_for_selector("#live.on")

        assert await page.evaluate("window.hit") is None
        assert XSS in await page.locator(".chips .chip.chosen").first.inner_text()
        assert seen == XSS
        assert shown.complaints == []


@pytest.mark.long
async def test_the_address_remembers_trader_day_hours_and_open_period(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await shown.deal("10.2", "5", "sell", "15-16", "flex_trader_1")
        await shown.deal("20", "1", "buy", "16-17", "flex_trader_2")
        (page,) = await shown.open()

        await page.click("text=flex_trader_2")
        await page.wait_for_selector("#live.on")
        await page.click("#toggle-0")
        await page.wait_for_selector("#live.on")
        await page.click(f"{shown.row(page, '16-17')} .period")
        await page.wait_for_selector("#drill [data-open]")
        await page.reload()

        assert re.search(r"\?trader=flex_trader_2&hours=all&open=", page.url)
        assert await page.locator("tr[data-figures]").count() >= 24
        assert await page.locator(".deals tbody tr").count() == 1
        await page.click("#drill-close")
        assert "open=" not in page.url


async def test_an_open_period_and_the_chart_follow_the_deals(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await shown.deal("10.2", "5", "sell", "15-16")
        (page,) = await shown.open(f"?open={shown.tomorrow}.15-16")
        await page.wait_for_selector("#chart canvas")

        await shown.deal("8", "5", "buy", "15-16", "flex_trader_2")
        await page.locator(".deals tbody tr").nth(1).wait_for()
        await page.wait_for_selector("a.chip:has-text('flex_trader_2')")

        assert "b+s" in (await cells(page, shown.row(page, "15-16")))[0]
        sides = await page.locator(".sides dd b").all_inner_texts()
        assert sides[:4] == ["5.00", "10.20", "5.00", "8.00"]
        assert shown.complaints == []


@pytest.mark.long
async def test_no_click_is_lost_while_deals_pour_in(tmp_path: Path) -> None:
    hours = [f"{hour:02d}-{hour + 1:02d}" for hour in range(6, 14)]
    async with screen(tmp_path) as shown:
        for hour in hours:
            await shown.deal("10.2", "5", "sell", hour)
        (page,) = await shown.open()

        async def pour() -> None:
            while True:
                await shown.deal("11", "1", "sell", "20-21")
                await asyncio.sleep(0.02)

        pouring = asyncio.create_task(pour())
        try:
            for hour in hours:
                # As slow as a hand: several changes arrive between press and release.
                await page.click(f"{shown.row(page, hour)} .period", delay=400)
                await page.wait_for_selector(f'#drill [data-open="{shown.tomorrow}.{hour}"]')
        finally:
            pouring.cancel()
            await asyncio.wait((pouring,))

        assert shown.complaints == []


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.long), 390])
async def test_nothing_sticks_out_and_nothing_comes_from_elsewhere(tmp_path: Path, width: int) -> None:
    async with screen(tmp_path) as shown:
        for hour in ("15-16", "16-17", "17-18"):
            await shown.deal("12345.67", "1234.5", "sell", hour, "a_trader_with_quite_a_long_name_indeed")
            await shown.price(hour, "9876.54")
        (page,) = await shown.open(f"?open={shown.tomorrow}.15-16", width=width)
        await page.wait_for_selector("#chart canvas")

        addresses = await page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")

        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert all(address.startswith(shown.url) for address in addresses)
        assert shown.complaints == []


@pytest.mark.long
async def test_without_scripts_the_page_is_complete(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await shown.deal("10.2", "5", "sell", "15-16")
        context = await shown.browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        for _ in range(100):
            await page.goto(shown.url)
            if await page.locator(shown.row(page, "15-16")).count():
                break

        await page.click(f"{shown.row(page, '15-16')} .period")

        assert await page.locator(".deals tbody tr").count() == 1


@pytest.mark.long
async def test_a_page_comes_back_by_itself_when_the_server_does(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    port = free_port()
    settings = {"DATABASE_URL": url, "REPORTING_WEB_PORT": str(port), "LOG_LEVEL": "warning"}
    desk = await Desk.open(url)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        first = server_process("reporting", tmp_path, **settings)
        process = await asyncio.to_thread(first.__enter__)
        await asyncio.to_thread(process.wait_health, SERVING)
        shown = Screen(desk, browser, f"http://localhost:{port}/")
        await shown.listener_is_well()
        (page,) = await shown.open()
        await asyncio.to_thread(first.__exit__, None, None, None)
        await page.wait_for_selector("#live.off")
        await shown.deal("10.2", "5", "sell", "15-16")

        second = server_process("reporting", tmp_path, **settings)
        await asyncio.to_thread(second.__enter__)
        await page.wait_for_selector(shown.row(page, "15-16"))

        assert await page.locator("#live.on").count() == 1
        await browser.close()
        await asyncio.to_thread(second.__exit__, None, None, None)
    await desk.close()


async def test_a_page_does_not_call_itself_live_while_the_server_hangs(tmp_path: Path) -> None:
    async with screen(tmp_path, REPORTING_WEB_HEARTBEAT="0.2") as shown:
        one, other = await shown.open(pages=2)
        os.kill(shown.pid, signal.SIGSTOP)
        try:
            for page in (one, other):
                await page.bring_to_front()
                await page.wait_for_selector("#live.off")
                await page.wait_for_function("document.getElementById('live').textContent.startsWith('no word for')")
        finally:
            os.kill(shown.pid, signal.SIGCONT)

        await shown.deal("10.2", "5", "sell", "15-16")

        for page in (one, other):
            await page.bring_to_front()
            await page.wait_for_selector("#live.on")
            await page.wait_for_selector(shown.row(page, "15-16"))


async def test_ages_are_counted_by_the_servers_clock(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await shown.deal("10.2", "5", "sell", "15-16")
        await shown.price("15-16", "9.8")
        context = await shown.browser.new_context()
        page = await context.new_page()
        # The browser's own clock is an hour slow.
        await page.add_init_script("const now = Date.now; Date.now = () => now() - 3600000;")
        await page.goto(shown.url)
        await page.wait_for_selector("#live.on")

        await page.wait_for_function(
            "[...document.querySelectorAll('#board td time.brief')].some((shown) => /^\\d+ s ago$/.test(shown.textContent))"
        )
