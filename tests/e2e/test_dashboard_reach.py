"""The dashboard for everybody: by keyboard, by touch, on a small screen, on paper, in the dark, read aloud."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from clients.power.calendar import delivery_hour
from tests.support.desk_screen import NEEDS_CHROMIUM, PATIENCE_MS, SECOND_NS, Screen, screen
from tests.support.reporting_desk import MadeDeal

pytestmark = NEEDS_CHROMIUM

HOURS = [f"{hour:02d}-{hour + 1:02d}" for hour in range(24)]
CUT = """
() => [...document.querySelectorAll('#board td, #board th, .top *, .bar *, #drill td, #drill dd')]
    .filter((each) => each.offsetParent !== null && !each.closest('.unseen, .across, .chips, details:not([open]) ul'))
    .filter((each) => {
      const { left, right, width } = each.getBoundingClientRect();
      return width && (right > innerWidth + 0.5 || left < -0.5 || each.scrollWidth > each.clientWidth + 1 && each.clientWidth);
    })
    .map((each) => each.textContent.trim())
"""
SMALL = """
() => [...document.querySelectorAll('a, button, summary, input:not([type=hidden])')]
    .filter((each) => each.offsetParent !== null && !each.closest('.unseen'))
    .map((each) => [each.textContent.trim() || each.id, each.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < 24 || height < 24)
    .map(([name, { width, height }]) => `${name} ${width}x${height}`)
"""


async def full_day(shown: Screen, *, price: str = "61.50", quantity: str = "5", reference: str = "60") -> None:
    """Give every hour of tomorrow a deal and a price."""
    now_ns = time.time_ns()
    await shown.desk.add_deals(
        MadeDeal(price, quantity, "sell", shown.tomorrow, hour, execution_time_ns=now_ns) for hour in HOURS
    )
    for hour in HOURS:
        await shown.price(hour, reference)


async def focused(page: Page) -> str:
    """The id of what has the focus."""
    return str(await page.evaluate("document.activeElement.id"))


@pytest.mark.long
@pytest.mark.quick
async def test_a_whole_day_is_seen_at_once(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await full_day(shown)
        (page,) = await shown.open(f"?day={shown.tomorrow}", height=800)
        await page.wait_for_selector(f"{shown.row(page, '23-24')} .verdict.up")

        bottom = await page.locator(shown.row(page, "23-24")).evaluate("e => e.getBoundingClientRect().bottom")
        heights = await page.locator("tr[data-figures]").evaluate_all("all => all.map(e => e.offsetHeight)")

        assert bottom <= 800
        assert set(heights) <= {24, 25, 26}


async def test_the_sign_and_the_headings_stay_in_sight(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await full_day(shown)
        (page,) = await shown.open(f"?day={shown.tomorrow}", height=400)

        # In one step: a row that is drawn anew meanwhile is no longer there to be waited for.
        await page.locator(shown.row(page, "20-21")).evaluate("row => row.scrollIntoView()")
        await page.mouse.wheel(0, 300)
        await page.wait_for_function("scrollY > 200")

        for selector in ("#live", ".results thead th"):
            top = await page.locator(selector).first.evaluate("e => e.getBoundingClientRect().top")
            assert 0 <= top < 60, selector


async def test_columns_of_both_days_stand_below_each_other(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await full_day(shown, price="3999.99", quantity="620", reference="-499.99")
        (page,) = await shown.open("?hours=all&past=shown")

        edges = await page.evaluate(
            "[...document.querySelectorAll('tr[data-figures]')].map(row => [...row.cells].map(cell => cell.getBoundingClientRect().right))"
        )

        assert len(edges) >= 46
        assert all(row == edges[0] for row in edges)


async def test_a_period_is_opened_and_closed_by_keyboard(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await full_day(shown)
        (page,) = await shown.open()
        link = f"open-{shown.tomorrow}.15-16"
        await page.locator(f'[id="{link}"]').focus()

        await page.keyboard.press("Enter")
        await page.wait_for_selector("#drill [data-open]")
        await page.wait_for_function("document.activeElement.id === 'drill-title'")
        await page.keyboard.press("Tab")
        reached = set()
        for _ in range(6):
            reached.add(await focused(page))
            await page.keyboard.press("Tab")
        # What the refresh after a deal brings does not take the focus away.
        await page.locator("#drill-scroll").focus()
        await shown.deal("70", "1", "sell", "15-16")
        await page.locator(".deals tbody tr").nth(1).wait_for()
        after_refresh = await focused(page)
        await page.keyboard.press("Escape")

        assert {"drill-scroll"} <= reached
        assert after_refresh == "drill-scroll"
        assert await page.locator("#drill [data-open]").count() == 0
        assert await focused(page) == link
        assert "open=" not in page.url
        assert shown.complaints == []


async def test_what_was_unfolded_stays_so_over_a_change(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await full_day(shown)
        await shown.deal("70", "4", "buy", "15:00-15:15")
        (page,) = await shown.open()
        quarter = shown.row(page, "15:00-15:15")
        button = page.locator(f"{shown.row(page, '15-16')} button.unfold")

        await button.focus()
        await page.keyboard.press("Enter")
        await page.locator(quarter).wait_for()
        await shown.deal("70", "4", "buy", "15:15-15:30")
        await page.locator(shown.row(page, "15:15-15:30")).wait_for()
        unfolded = await page.locator(quarter).is_visible()
        await button.click()

        assert unfolded
        assert await page.locator(quarter).is_hidden()
        assert shown.complaints == []


@pytest.mark.parametrize(
    "width", [360, pytest.param(390, marks=pytest.mark.long), pytest.param(768, marks=pytest.mark.long)]
)
async def test_nothing_is_cut_on_a_small_screen_whatever_the_prices(tmp_path: Path, width: int) -> None:
    async with screen(tmp_path) as shown:
        await full_day(shown, price="3999.99", quantity="620.5", reference="-499.99")
        await shown.deal("-499.99", "4", "buy", "15:00-15:15", "a_trader_with_quite_a_long_name_indeed")
        (page,) = await shown.open("?quarters=all", width=width, has_touch=True)
        await page.wait_for_selector(f"{shown.row(page, '23-24')} .verdict.up")
        bare = await page.evaluate(CUT)
        small = await page.evaluate(SMALL)

        await page.tap(f"{shown.row(page, '15-16')} .period")
        await page.wait_for_selector("#drill [data-open]")
        opened = await page.evaluate(CUT)

        assert "2\u2009792\u2009237.59" in (await page.locator(shown.row(page, "14-15")).inner_text())
        assert (bare, opened, small) == ([], [], [])
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_paper_gets_light_colours_states_in_words_and_nothing_to_click(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await full_day(shown)
        (page,) = await shown.open(f"?trader=flex_trader_1&day={shown.tomorrow}", color_scheme="dark")

        await page.emulate_media(media="print", color_scheme="dark")
        seen = await page.evaluate(
            """() => ({
              ground: getComputedStyle(document.body).backgroundColor,
              ink: getComputedStyle(document.querySelector('#board td')).color,
              links: [...document.querySelectorAll('.bar, .quiet-link, .chip:not(.chosen), #notify')].filter((e) => e.offsetParent).length,
              who: document.querySelector('#trader-1').offsetParent !== null,
              repeated: [...document.querySelectorAll('tfoot')].length,
              arrow: getComputedStyle(document.querySelector('.verdict .main.up'), '::before').content,
            })"""
        )

        assert seen == {
            "ground": "rgb(255, 255, 255)", "ink": "rgb(22, 32, 44)", "links": 0, "who": True, "repeated": 0, "arrow": '"\u25b2"',
        }  # fmt: skip


async def test_the_page_does_not_call_itself_live_while_the_listener_is_away(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        (page,) = await shown.open()

        await shown.desk.set_listener(updated_ns=time.time_ns() - 60 * SECOND_NS)
        await page.wait_for_selector("#live.off")
        sign = await page.inner_text("#live")
        spoken = await page.inner_text("#alerts")
        await shown.listener_is_well()
        await page.wait_for_selector("#live.on")

        assert sign == "listener away"
        assert "No sign of life from the deals listener" in spoken
        assert await page.locator(".notice.bad").count() == 0
        assert shown.complaints == []


@pytest.mark.long
async def test_who_wants_it_is_notified_of_what_goes_wrong_and_nobody_else(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        context = await shown.browser.new_context()
        # What a person would answer the browser, and what the browser would show.
        await context.add_init_script(
            """window.told = [];
            window.Notification = class {
              static permission = 'default';
              static requestPermission() { this.permission = 'granted'; return Promise.resolve('granted'); }
              constructor(title, { body }) { window.told.push(body); }
            };"""
        )
        wants, other = await context.new_page(), await context.new_page()
        for page in (wants, other):
            await page.goto(shown.url)
            await page.wait_for_selector("#live.on")
        await wants.click("#notify")
        await wants.wait_for_selector("#notify[aria-pressed=true]")

        await shown.desk.set_listener(updated_ns=time.time_ns() - 60 * SECOND_NS)
        for page in (wants, other):
            await page.wait_for_selector("#live.off")
        # More of the same is no news, also when its numbers change.
        for unusable in (12, 13):
            await shown.desk.set_listener(updated_ns=time.time_ns() - 60 * SECOND_NS, unusable_today=unusable)
            for page in (wants, other):
                await page.wait_for_selector(f".notice:has-text('{unusable} messages')")
        told, not_told = [await page.evaluate("window.told") for page in (wants, other)]

        assert [text[:40] for text in told] == [
            "Attention: No sign of life from the deal", "Note: 12 messages of the exchange could ",
        ]  # fmt: skip
        assert not_told == []


async def test_the_time_to_gate_closure_is_counted_by_the_servers_clock(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await shown.deal("70", "4", "buy", "23-24")
        context = await shown.browser.new_context()
        page = await context.new_page()
        # The browser's own clock is two hours slow.
        await page.add_init_script("const now = Date.now; Date.now = () => now() - 7200000;")
        await page.goto(shown.url)
        await page.wait_for_selector("#live.on")
        gate = page.locator(f"{shown.row(page, '23-24')} .gate time")
        hours = (delivery_hour(shown.tomorrow, "23-24").start_ns - time.time_ns()) // (3_600 * SECOND_NS)

        # Looked up anew each time: a row that changes is another element.
        await expect(gate).to_have_text(re.compile(f"^({hours}|{hours - 1}) h "), timeout=PATIENCE_MS)


async def test_the_charts_draw_over_time_and_say_nothing_where_nothing_is(tmp_path: Path) -> None:
    async with screen(tmp_path) as shown:
        await shown.deal("70", "4", "sell", "03-04")
        await shown.deal("80", "4", "sell", "22-23")
        await shown.price("03-04", "65")
        (page,) = await shown.open(f"?open={shown.tomorrow}.03-04")

        for box in ("#chart", "#result-chart", "#history"):
            await page.wait_for_selector(f"{box} canvas")
            legend = await page.locator(f"{box} .u-legend").inner_text()
            assert "\u2013" not in legend
            assert "--" not in legend
        await page.hover("#chart .u-over", position={"x": 5, "y": 40})
        await page.wait_for_function("document.querySelector('#chart .u-legend').innerText.includes('EUR/MWh')")

        assert shown.complaints == []


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("width", "scheme", "query"),
    [
        (1280, "light", "?open={day}.15-16&quarters=all"),
        (1280, "dark", "?open={day}.15-16&past=shown"),
        (390, "light", "?open={day}.15-16"),
        (360, "dark", "?quarters=all"),
        (1280, "light", "?show=positions"),
    ],
    ids=["light", "dark", "390", "360-dark", "positions"],
)
@pytest.mark.long
async def test_axe_finds_nothing(tmp_path: Path, width: int, scheme: str, query: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="pip install -r tests/third_parties.txt")
    async with screen(tmp_path) as shown:
        await full_day(shown)
        await shown.deal("70", "4", "buy", "15:00-15:15", "flex_trader_2")
        await shown.desk.add_gap(time.time_ns() - SECOND_NS, time.time_ns())
        await shown.desk.set_listener(updated_ns=time.time_ns() - 60 * SECOND_NS)
        context = await shown.browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = await context.new_page()
        await page.goto(shown.url + query.format(day=shown.tomorrow))
        await page.wait_for_selector("#live.heard")
        await page.wait_for_selector("#chart canvas")

        found = await axe.Axe().run(page)

        assert [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []
