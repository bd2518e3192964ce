"""Run a process that serves one web application and nothing else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from services.runtime.addresses import host_and_port
from services.runtime.descriptors import announce_budget, descriptor_budget
from services.runtime.listening import run_listener, stop_on_signals
from services.runtime.log_fields import fields
from services.runtime.ready import ready_file
from services.runtime.settings import ProcessSettings
from services.runtime.web.face import AsgiApplication, WebFace
from services.runtime.web.limits import WebLimits

__all__ = ["run_web"]

logger = logging.getLogger(__name__)


def run_web(
    name: str,
    settings: ProcessSettings,
    app: AsgiApplication,
    *,
    setting: str,
    banner: Callable[[int], str] | None = None,
    date_header: bool = True,
    opened: Callable[[WebFace], None] | None = None,
) -> int:
    """Serve `app` until SIGTERM or SIGINT; return the exit code (2: refused, in one line on stderr).

    `banner` turns the port into what is printed for a person on a terminal; `opened` is given what serves.
    """
    return run_listener(name, settings, _run(name, settings, app, setting, banner, date_header, opened))


async def _run(
    name: str,
    settings: ProcessSettings,
    app: AsgiApplication,
    setting: str,
    banner: Callable[[int], str] | None,
    date_header: bool,
    opened: Callable[[WebFace], None] | None,
) -> int:
    stopping = stop_on_signals()
    face = WebFace(
        app,
        host=settings.host,
        port=settings.port,
        setting=setting,
        date_header=date_header,
        limits=WebLimits.of(settings, descriptor_budget().alone),
        hosts=settings.web_hosts,
    )
    port = await face.start()
    if opened is not None:
        opened(face)
    announce_budget()
    logger.info("serving", extra=fields(url=f"http://{host_and_port(settings.host, port)}"))
    if banner is not None and sys.stderr.isatty():
        print(banner(port), file=sys.stderr)  # noqa: T201  (for the person who started it by hand)
    try:
        with ready_file(settings.ready_file, name, port=port):
            await stopping.wait()
    finally:
        await face.stop()
    return 0
