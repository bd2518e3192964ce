"""Scripts of Redis are left where no transaction does the same, and nowhere else: engines differ most in them."""

from __future__ import annotations

import re

from tests.support.imports import ROOT

REASONS = {
    "services/replay/queue/claim.py": "sends the trim, which looks at every group in the same moment",
    "services/price/engine/claim.py": "acknowledges by a fence where Redis has no memory left: Redis 7.0 then refuses transactions",
    "services/replay/queue/stream.py": "measures entries without sending them",
    "services/replay/engine/reporter.py": "stores the report of a session when Redis has no memory left, too",
    "services/replay/session_queue.py": "the same, of an engine that has failed",
    "services/runtime/cluster/slots.py": "sends none: it finds the keys of those that are sent",
    "clients/resilience/limiter_redis.py": "swaps in one round trip before every call to an exchange",
}


def test_scripts_are_where_a_reason_is_written_down() -> None:
    script = re.compile(r"""["']EVAL(SHA)?["']|register_script\(|\.eval(sha)?\(""")
    sources = [path for top in ("services", "clients") for path in (ROOT / top).rglob("*.py")]

    found = {path.relative_to(ROOT).as_posix() for path in sources if script.search(path.read_text(encoding="utf-8"))}

    assert found == set(REASONS)


def test_the_page_gives_its_user_what_scripts_need() -> None:
    page = (ROOT / "docs" / "redis_and_postgres.md").read_text(encoding="utf-8")

    assert {"+eval", "+evalsha", "+script|load"} <= set(page.split())
    assert "Five scripts are left" in page
