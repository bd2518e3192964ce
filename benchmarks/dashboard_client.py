"""Many browsers that refresh one page: `python -m benchmarks.dashboard_client PORT REQUESTS CONNECTIONS PATH`.

Each connection asks once in full and then with the tag that it was given, as browsers do. Prints {"seconds", "p99_ms", "unchanged"}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


async def _browser(port: int, path: str, requests: int, waits: list[float]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ask = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
    writer.write(f"{ask}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    await reader.readexactly(int(headers["content-length"]))
    again = f"{ask}If-None-Match: {headers['etag']}\r\n\r\n".encode()
    unchanged = 0
    for _ in range(requests):
        began = time.perf_counter()
        writer.write(again)
        answer = await reader.readuntil(b"\r\n\r\n")
        waits.append(time.perf_counter() - began)
        unchanged += answer.startswith(b"HTTP/1.1 304")
    writer.close()
    return unchanged


async def _main() -> None:
    port, requests, connections, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    waits: list[float] = []
    began = time.perf_counter()
    counts = await asyncio.gather(*(_browser(port, path, requests // connections, waits) for _ in range(connections)))
    seconds = time.perf_counter() - began
    waits.sort()
    print(json.dumps({"seconds": seconds, "p99_ms": 1e3 * waits[len(waits) * 99 // 100], "unchanged": sum(counts)}))


if __name__ == "__main__":
    asyncio.run(_main())
