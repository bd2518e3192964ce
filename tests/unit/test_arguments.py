"""What people are told to type: keys and passwords never stand in an argument, where every user of the machine sees them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.cli import ROOT

pytestmark = pytest.mark.quick

PLACES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*", "services/cli/*.py", "build.sh", "Makefile", "deploy/**/*")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix in ("", ".md", ".py", ".sh", ".ts", ".go", ".java", ".yml", ".yaml")
)
CALL = re.compile(r"\b(?:curl|grpcurl|wget|httpie|redis-cli|psql|websocat)\b[^`\n]*(?:\\\n[^`\n]*)*")
HEADER = re.compile(r"authorization: *\w+ +(?P<value>[^'\")]+)|x-midstream-\w+: *\$", re.IGNORECASE)
SECRETS = (
    re.compile(r"redis-cli\b.* (?:-a|--pass) "),
    re.compile(r"\w+://[^\s/@:'\"]*:[^\s/@'\"*]+@"),
    re.compile(r" (?:-u|--user) \S+:\S"),
)


def exposed(call: str) -> bool:
    """Tell whether a shell puts a secret into the arguments of this call."""
    header = HEADER.search(call)
    if header is not None and not ("-expand-headers" in call and "'" in call[: header.start()][-3:]):
        return True
    return any(pattern.search(call) for pattern in SECRETS)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_puts_a_secret_into_its_arguments(path: Path) -> None:
    calls = [match.group(0) for match in CALL.finditer(path.read_text(encoding="utf-8"))]

    assert [call for call in calls if exposed(call)] == []


@pytest.mark.parametrize(
    ("call", "is_exposed"),
    [
        ('curl -H "authorization: Bearer $KEY" http://x/', True),
        ("curl -H 'Authorization: Bearer ms_abc' http://x/", True),
        ("curl -H @<(auth) http://x/", False),
        ('curl http://x/ \\\n    -H "Authorization: Bearer $KEY"', True),
        ("grpcurl -expand-headers -H 'authorization: Bearer ${KEY}' x:1 list", False),
        ('grpcurl -expand-headers -H "authorization: Bearer ${KEY}" x:1 list', True),
        ("grpcurl -H 'authorization: Bearer ${KEY}' x:1 list", True),
        ("redis-cli -h x -a hunter2 ping", True),
        ("psql postgresql://me:hunter2@db/x", True),
        ("curl -u me:hunter2 http://x/", True),
    ],
)
def test_the_rule_finds_what_it_is_for(call: str, is_exposed: bool) -> None:
    assert exposed(call) is is_exposed
