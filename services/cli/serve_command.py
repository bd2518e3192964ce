"""`midstream serve`: keep servers up, with the embedded Redis where no other one is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from clients.exchanges.bases import is_loopback
from clients.exchanges.names import EXCHANGES, USED_BY_DEFAULT, url_variable
from services.cli.fleet import Watcher, child, nursery_for
from services.cli.nursery import Nursery
from services.cli.output import ExitCode
from services.cli.redis_url import usable_redis_url
from services.cli.servers import SERVERS, address_of, admin_reached, listens, reached, web_port_of
from services.cli.serving_check import not_serving
from services.cli.shown_commands import Shown
from services.cli.supervisor import PATIENCE_S, SAY_S, ChildFailed, ChildPostponed, ChildRefused, Supervisor
from services.cli.terminal import say, shown_path
from services.runtime.connection import redacted
from services.runtime.down_file import DownFile
from services.runtime.embedded import EmbeddedRedis
from services.runtime.errors import StartPostponed, StartRefused, cannot_start, is_passing
from services.runtime.private_files import make_private_below, private_directory
from services.runtime.stages import embedded_redis_problem
from services.samples import HISTORICAL as SAMPLE_HISTORICAL

SIM_FEED = "sim-feed"
NAME_WIDTH = 18
SETTLE_S = 10.0
AGAIN_S = 0.5
"""Between two tries to start Redis while there is no room for it."""


def serve_environment() -> dict[str, str]:
    """Defaults of `serve`; whatever is set in the environment wins. A deployment with a stage has no simulated feed by default."""
    live_url = os.environ.get("MIDSTREAM_LIVE_URL", "")
    if not live_url and not os.environ.get("MIDSTREAM_STAGE"):
        live_url = f"ws://{address_of(SIM_FEED)}"
    return {
        "MIDSTREAM_OUT": os.environ.get("MIDSTREAM_OUT", "var"),
        "MIDSTREAM_HISTORICAL": os.environ.get("MIDSTREAM_HISTORICAL", str(SAMPLE_HISTORICAL)),
        "MIDSTREAM_SPEED": os.environ.get("MIDSTREAM_SPEED", "1"),
        "MIDSTREAM_LIVE_URL": live_url,
    }


def demo_keys(names: Sequence[str]) -> dict[str, str]:
    """The simulators' public demo keys, for exchanges that are simulated here and that no other key is named for."""
    found: dict[str, str] = {}
    if os.environ.get("MIDSTREAM_EXCHANGES", "simulator") != "simulator":
        return found
    for exchange in EXCHANGES:
        prefix = f"MIDSTREAM_{exchange.upper()}"
        if f"sim-{exchange}" in names and not any(
            name.startswith((f"{prefix}_API_", f"{prefix}_SSM_")) for name in os.environ
        ):
            # Only here: whoever serves no exchange does not wait for their simulators' imports.
            from services.simulators.venue.clearing import demo_account

            account = demo_account(exchange)
            found |= {f"{prefix}_API_KEY": account.api_key, f"{prefix}_API_SECRET": account.secret}
    return found


def simulated_places(names: Sequence[str]) -> dict[str, str]:
    """Where the simulators among `names` are, for the servers that are started with them; what is set in the environment wins."""
    places: dict[str, tuple[str, str]] = {}
    if os.environ.get("MIDSTREAM_EXCHANGES", "simulator") == "simulator" and is_loopback(
        urlsplit(f"//{reached(0)}").hostname or ""
    ):
        # Elsewhere no client of an exchange may look for a simulator.
        places |= {f"sim-{exchange}": (url_variable(exchange), "http") for exchange in EXCHANGES}
    places |= {
        "sim-power-exchange": ("MIDSTREAM_POWER_URL", "ws"),
        "sim-market-data": ("MIDSTREAM_REFERENCE_URL", "http"),
    }
    return {
        setting: f"{scheme}://{address_of(name)}"
        for name, (setting, scheme) in places.items()
        if name in names and not os.environ.get(setting)
    }


def default_names() -> list[str]:
    """Every server of the suite, and the simulators of what no setting names: the live feed, the exchanges.

    The power desk has a world of its own and is started by its names (`make run-power`).
    """
    left_out = set()
    if os.environ.get("MIDSTREAM_LIVE_URL"):
        left_out.add(SIM_FEED)
    if os.environ.get("MIDSTREAM_EXCHANGES", "simulator") != "simulator":
        left_out |= {f"sim-{exchange}" for exchange in EXCHANGES}
    return [name for name, server in SERVERS.items() if server.in_default and name not in left_out]


def run_serve(names: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    names = names or default_names()
    try:
        with nursery_for(names) as nursery:
            return asyncio.run(Fleet(names, say, nursery).run())
    except ChildRefused as exc:
        code, why = ExitCode.REFUSED, str(exc)
    except StartRefused as exc:
        code, why = ExitCode(exc.exit_code), exc.message
    except ChildPostponed as exc:
        code, why = ExitCode.POSTPONED, str(exc)
    except ChildFailed as exc:
        code, why = ExitCode.FAILED, str(exc)
    except OSError as exc:
        refused = cannot_start(exc, f"{exc}; make room or take another directory with MIDSTREAM_OUT")
        code, why = ExitCode(refused.exit_code), refused.message
    say(f"midstream serve: {why}")
    return code


class Fleet:
    """The servers of one `serve`, and the Redis that it owns."""

    def __init__(self, names: Sequence[str], say: Callable[[str], None], nursery: Nursery | None = None) -> None:
        self._nursery = nursery
        self._names = sorted(names, key=list(SERVERS).index)
        self._say = say
        self._environment = serve_environment()
        self._out = Path(self._environment["MIDSTREAM_OUT"])
        self._down = DownFile(self._out, self._names)
        named = os.environ.get("MIDSTREAM_REDIS_URL", "")
        self.redis_url = usable_redis_url(named) if named else ""
        self.announcements: dict[str, dict[str, object]] = {}
        self._redis: EmbeddedRedis | None = None
        self._watcher: Watcher | None = None

    async def run(self) -> int:
        """Start everything, say where it is, and watch it until a signal comes."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        supervisor: Supervisor | None = None

        def stop() -> None:
            if stopping.is_set() and supervisor is not None:
                supervisor.hasten()
            elif not stopping.is_set():
                self._say("stopping every server; a second signal does not wait for them")
            stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        supervisor = await self._build_in_time(stopping)
        if supervisor is None:
            return 0
        watch: asyncio.Task[None] | None = None
        try:
            self.announcements = await self._start(supervisor, stopping)
            if stopping.is_set():
                return 0
            watch = asyncio.create_task(supervisor.watch())
            waiting = asyncio.create_task(stopping.wait())
            settled = asyncio.create_task(self._settle())
            await asyncio.wait({watch, waiting, settled}, return_when=asyncio.FIRST_COMPLETED)
            settled.cancel()
            if not watch.done() and not stopping.is_set():
                self._announce(settled.result() if settled.done() and not settled.cancelled() else ())
            await asyncio.wait({watch, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if watch.done():
                watch.result()
            return 0
        finally:
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            await supervisor.stop()
            with contextlib.suppress(OSError):
                self._down.remove()

    async def _build_in_time(self, stopping: asyncio.Event) -> Supervisor | None:
        """Build the supervisor, waiting for trouble that passes; None when stopped meanwhile."""
        deadline_s, said_s = time.monotonic() + PATIENCE_S, 0.0
        while not stopping.is_set():
            try:
                return self.build()
            except (StartPostponed, OSError) as exc:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or (isinstance(exc, OSError) and not is_passing(exc)):
                    raise
                if time.monotonic() - said_s >= SAY_S:
                    said_s = time.monotonic()
                    self._say(f"cannot start yet ({exc}): trying again for another {left_s:.0f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), AGAIN_S)
        return None

    def build(self) -> Supervisor:
        """Start Redis where it is ours, and describe the servers."""
        # What earlier runs left there, too.
        make_private_below(private_directory(self._out / ".midstream"))
        # From here on `midstream healthcheck` asks for them, whether they have come up yet or not.
        self._down.write({})
        environment = dict(self._environment)
        environment |= demo_keys(self._names) | simulated_places(self._names)
        watched = [name for name in self._names if SERVERS[name].scheme == "grpc" and name != "health"]
        environment["MIDSTREAM_HEALTH_WATCH"] = os.environ.get("MIDSTREAM_HEALTH_WATCH") or ",".join(watched)
        if any(SERVERS[name].redis for name in self._names):
            if not self.redis_url:
                if problem := embedded_redis_problem(os.environ):
                    raise StartRefused(problem)
                self._redis = self._start_redis()
                self.redis_url = self._redis.url
            environment["MIDSTREAM_REDIS_URL"] = self.redis_url
            self._watcher = Watcher(self.redis_url, os.environ.get("MIDSTREAM_SESSION", "default"), sink="price")
        return Supervisor(
            [
                child(name, environment, ready=self._out / ".midstream" / "ready", log=None, nursery=self._nursery)
                for name in self._names
            ],
            redis=self._redis,
            restart_redis=self._start_redis if self._redis is not None else None,
            progress=self._watcher.progress if self._watcher is not None else lambda name: None,
            on_event=self._say,
            on_down=self._tell_down,
        )

    def _tell_down(self, down: Mapping[str, str]) -> None:
        """Have `midstream status` and the health server know what is down."""
        try:
            self._down.write(down)
        except OSError as exc:
            self._say(f"cannot write which servers are down: {exc}")

    async def _start(self, supervisor: Supervisor, stopping: asyncio.Event) -> dict[str, dict[str, object]]:
        starting = asyncio.create_task(supervisor.start())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return {}
        return starting.result()

    async def _settle(self) -> Sequence[str]:
        """Wait until every server says that it serves, so that the first call finds it; return those that do not.

        Not for ever: an engine may have much to read, and what a server needs may be away.
        """
        addresses = {
            # In plain text where there is TLS: whether a server serves is asked without a certificate.
            name: admin_reached(announcement["admin_port"])
            if "admin_port" in announcement
            else reached(announcement["port"])
            for name, announcement in self.announcements.items()
            if SERVERS[name].scheme == "grpc"
        }
        return await not_serving(addresses, wait_s=SETTLE_S, engine=self._engine_reported)

    def _engine_reported(self) -> bool:
        """Tell whether the engine has said what it does; true where none is started."""
        watcher = self._watcher
        return watcher is None or "replay" not in self._names or watcher.engine() is not None

    def _start_redis(self) -> EmbeddedRedis:
        # A live feed may be switched to at any time, and live ticks exist once: the append-only file is on.
        started = EmbeddedRedis.start(self._out / "redis", append_only=True)
        for note in started.notes:
            self._say(note)
        return started

    def _announce(self, idle: Sequence[str]) -> None:
        """Say where everything is, and what does not serve (yet)."""
        say = self._say
        if self.redis_url:
            say(f"{'Redis':<{NAME_WIDTH}} {redacted(self.redis_url)}")
        for name, announcement in self.announcements.items():
            say(f"{name:<{NAME_WIDTH}} {_where(name, announcement)}")
        if idle:
            why = self._watcher.trouble() if self._watcher is not None else ""
            say(
                f"started, and not serving yet: {', '.join(idle)}. {f'{why}. ' if why else ''}They begin by themselves "
                "once what they need is there; their log lines say what that is. Ctrl-C stops them."
            )
            return
        say("every server is up; Ctrl-C stops them. Try:")
        for line in self._suggestions():
            say(f"  {line}")

    def _suggestions(self) -> Iterator[str]:
        """Lines to type next, for what is there."""
        ports = {
            name: announcement.get("port", SERVERS[name].port) for name, announcement in self.announcements.items()
        }
        shown = Shown(os.environ)
        if "control" in ports:
            yield (
                f"""grpcurl {shown.grpcurl} -d '{{"mode":"MODE_LIVE"}}' {_dialled(ports["control"])} """
                "midstream.control.v1.ControlService/SetMode"
            )
        if "price" in ports:
            yield f"{_command()} price BTC/USDT --exchange {USED_BY_DEFAULT[0]}{shown.midstream}"
        if "orders" in ports:
            yield f"curl {shown.curl}{shown.http}://{reached(web_port_of('orders'))}/health"
        if "reporting" in ports:
            yield f"open {shown.http}://{reached(web_port_of('reporting'))}/ in a browser"
        if all(SERVERS[name].says_hello for name in ports):
            # Beside other servers they are the world outside, which nobody has to look at.
            for port in ports.values():
                yield f"curl http://{reached(port)}/"


def _where(name: str, announcement: dict[str, object]) -> str:
    """Addresses of a server, in one line, as it was told to listen."""
    server, shown = SERVERS[name], Shown(os.environ)
    guarded = server.scheme == "grpc"
    line = f"{shown.grpc if guarded else server.scheme}://{listens(announcement.get('port'))}"
    if server.web:
        line += f"   {shown.http}://{listens(web_port_of(name))}"
    metrics, admin = announcement.get("metrics_port"), announcement.get("admin_port")
    line += f"   metrics {shown.http}://{listens(metrics)}/metrics" if metrics else ""
    return line + (f"   health grpc://{admin_reached(admin)}" if admin else "")


def _dialled(port: object) -> str:
    """Return an address as the pages write it, where that reaches the server."""
    address = reached(port)
    return f"localhost:{port}" if address.startswith("127.0.0.1:") else address


def _command() -> str:
    """Return how this program is called: by its name where that is on PATH, else by its path."""
    here = Path(sys.executable).with_name("midstream")
    if shutil.which("midstream") is not None or not here.exists():
        return "midstream"
    return shown_path(here)
