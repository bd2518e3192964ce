"""The dashboard behind nginx: with nothing but `proxy_pass`, and with what docs/power_desk.md says."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.imports import ROOT
from tests.support.ports import free_port
from tests.support.reporting_desk import Desk, sqlite_url
from tests.support.server_process import SERVING, server_process

PAGE = (ROOT / "docs" / "power_desk.md").read_text(encoding="utf-8")
NGINX = shutil.which("nginx") or next((path for path in ("/usr/sbin/nginx",) if Path(path).exists()), None)
OPENSSL = shutil.which("openssl")
PATIENCE_S = 20.0

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx (apt-get install nginx-light)")


@asynccontextmanager
async def proxied(directory: Path, server: str, **settings: str) -> AsyncIterator[None]:
    """Run the reporting server, and nginx with one `server` block in front of it."""
    url = sqlite_url(directory)
    desk = await Desk.open(url)
    await desk.close()
    temporary = "".join(
        f"{kind}_temp_path {directory};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off;\nmaster_process off;\npid {directory}/nginx.pid;\nerror_log {directory}/nginx.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{server}\n}}\n"
    )
    with server_process("reporting", directory, DATABASE_URL=url, LOG_LEVEL="warning", **settings) as reporting:
        await asyncio.to_thread(reporting.wait_health, SERVING)
        assert NGINX is not None
        command = [NGINX, "-p", str(directory), "-c", str(config)]
        proxy = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            proxy.terminate()
            await asyncio.wait_for(proxy.wait(), PATIENCE_S)


async def answer(port: int, path: str, *, until: bytes, host: str, secret: str = "", tls: bool = False) -> bytes:
    """Ask over HTTP/1.1 and return what has come once `until` is in it, or everything."""
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            break
        except ConnectionRefusedError:
            # nginx has not bound its port yet.
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    name = f"authorization: basic {base64.b64encode(secret.encode()).decode()}\r\n" if secret else ""
    writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{name}\r\n".encode())
    received = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while until not in received and (part := await reader.read(65_536)):
                received += part
    finally:
        writer.close()
    return received


async def test_events_stream_through_default_settings(tmp_path: Path) -> None:
    port, web = free_port(), free_port()
    server = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{web}; }} }}"
    async with proxied(tmp_path, server, REPORTING_WEB_PORT=str(web)):
        received = await answer(port, "/events", until=b"event: changed", host="localhost")

    assert b" 200 OK" in received
    assert b"event: here" in received
    assert b"event: changed" in received


@pytest.mark.skipif(OPENSSL is None, reason="no openssl (apt-get install openssl)")
async def test_the_pages_recipe_lets_traders_in_by_name_and_nobody_else(tmp_path: Path) -> None:
    port, web = free_port(), free_port()
    recipe = PAGE.split("```nginx\n")[1].split("```")[0]
    made = recipe.replace("listen 443", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8081", f"127.0.0.1:{web}")
    made = made.replace("/etc/nginx/", f"{tmp_path}/")
    (tmp_path / "desk.users").write_text("trader:{PLAIN}secret\n")
    subject = ["-subj", "/CN=desk.example", "-keyout", f"{tmp_path}/desk.key", "-out", f"{tmp_path}/desk.crt"]
    assert OPENSSL is not None
    command = [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    hosts = re.search(r"MIDSTREAM_REPORTING_WEB_HOSTS=(\S+)", PAGE)
    assert hosts is not None

    async def ask(path: str, until: bytes, secret: str, host: str = f"desk.example:{port}") -> bytes:
        return await answer(port, path, until=until, host=host, secret=secret, tls=True)

    async with proxied(tmp_path, made, REPORTING_WEB_PORT=str(web), REPORTING_WEB_HOSTS=hosts[1]):
        page = await ask("/", b"</html>", "trader:secret")
        events = await ask("/events", b"event: changed", "trader:secret")
        stranger = await ask("/", b"</html>", "")
        other_name = await ask("/", b"</html>", "trader:secret", "other.example")

    assert b" 200 OK" in page
    assert b"Today and tomorrow" in page
    assert b"event: changed" in events
    assert b" 401 " in stranger
    assert b" 421 " in other_name
    assert b"MIDSTREAM_REPORTING_WEB_HOSTS" in other_name
