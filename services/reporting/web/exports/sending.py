"""Send exports: single deals as they are read, page by page, and the table's figures."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

from services.reporting.engine.deals import DealFilter, DealReader, DealRow
from services.reporting.engine.report import Report
from services.reporting.web.exports.columns import DEALS, PERFORMANCE, performance_rows
from services.reporting.web.exports.csv_text import GERMAN, MACHINE, Dialect, csv_header, csv_lines
from services.reporting.web.exports.xlsx import Book
from services.reporting.web.http import ALWAYS, NEVER, Request, Send
from services.reporting.web.query import Address
from services.runtime.scratch import scratch_directory

__all__ = ["CSV", "DEALS_PATHS", "XLSX", "DealExports", "attachment", "performance_csv", "performance_xlsx"]

CSV: Final = b"text/csv; charset=utf-8"
XLSX: Final = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DEALS_PATHS: Final = {"/deals.csv": MACHINE, "/deals.de.csv": GERMAN, "/deals.xlsx": None}
"""With the dialect where it is CSV."""

BOOKS_MAX: Final = 2
"""Workbooks made at the same time; more wait. Each costs a thread and disk."""
CHUNK_BYTES: Final = 1 << 18


class DealExports:
    """Answers with every deal of a choice; however many there are, a page of them is in memory."""

    def __init__(self, deals: DealReader) -> None:
        self._deals = deals
        self._books = asyncio.Semaphore(BOOKS_MAX)

    async def answer(self, address: Address, request: Request, send: Send) -> None:
        """Send the export that the path names. Raises Unavailable, before anything is sent, when the database is away."""
        dialect = DEALS_PATHS[request.path]
        pages = self._deals.export(_chosen(address))
        body = self._workbook(pages) if dialect is None else _lines(pages, dialect)
        # The first part is made before the status: what fails then is an answer of its own.
        first = await anext(body)
        name = attachment("deals", address, request.path, choice_only=True)
        headers = [
            *ALWAYS, (b"content-type", XLSX if dialect is None else CSV), (b"cache-control", NEVER), name,
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if request.method != "HEAD":
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for part in body:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await body.aclose()
        await send({"type": "http.response.body", "body": b""})

    async def _workbook(self, pages: AsyncIterator[list[DealRow]]) -> AsyncGenerator[bytes, None]:
        async with self._books:
            with scratch_directory() as folder:
                path = folder / "deals.xlsx"
                book: Book[DealRow] = await asyncio.to_thread(Book, path, DEALS, name="Deals")
                async for rows in pages:
                    await asyncio.to_thread(book.add, rows)
                await asyncio.to_thread(book.close)
                with path.open("rb") as file:
                    while part := await asyncio.to_thread(file.read, CHUNK_BYTES):
                        yield part


async def _lines(pages: AsyncIterator[list[DealRow]], dialect: Dialect) -> AsyncGenerator[bytes, None]:
    first: list[DealRow] = await anext(pages, [])
    yield (csv_header(DEALS, dialect) + csv_lines(first, DEALS, dialect)).encode()
    async for rows in pages:
        yield csv_lines(rows, DEALS, dialect).encode()


def performance_csv(dialect: Dialect) -> Callable[[Report], str]:
    """Return what spells the rows of a report in a dialect."""
    return lambda report: csv_header(PERFORMANCE, dialect) + csv_lines(performance_rows(report), PERFORMANCE, dialect)


def performance_xlsx(report: Report) -> bytes:
    """Return the rows of a report as a workbook."""
    with scratch_directory() as folder:
        path = folder / "performance.xlsx"
        book = Book(path, PERFORMANCE, name="Performance")
        book.add(performance_rows(report))
        book.close()
        return path.read_bytes()


def attachment(name: str, address: Address, path: str, *, choice_only: bool = False) -> tuple[bytes, bytes]:
    """Return the header that names the file after what is in it, so that two of them can lie in one folder."""
    chosen, opened = address.selection, address.opened
    parts = [name, chosen.day, chosen.trader, chosen.market]
    if choice_only and opened is not None:
        parts = [name, opened.day_text, opened.label, chosen.trader, chosen.market]
    stem = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "_", part).strip("._") for part in parts if part)
    ending = path.partition(".")[2]
    return b"content-disposition", f'attachment; filename="{stem[:120]}.{ending}"'.encode()


def _chosen(address: Address) -> DealFilter:
    hour, chosen = address.opened, address.selection
    if hour is not None:
        return DealFilter(hour.day_text, hour.label, chosen.trader, chosen.market)
    return DealFilter(chosen.day, "", chosen.trader, chosen.market)
