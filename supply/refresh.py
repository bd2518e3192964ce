"""Ask an OSV server about every package in use and write the list anew: `python -m supply.refresh [--url URL]`.

Either all packages were asked for, or the list stays as it was (exit code 1).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2

from supply.advisories import FILE, NoVerdict, read_list
from supply.audit import used_parts
from supply.locks import ROOT, BadLock, canonical, read_locks

URL: Final = "https://api.osv.dev"
TIMEOUT_S: Final = 30.0
_PAGES_MAX: Final = 50
_ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


def main(arguments: Sequence[str], *, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m supply.refresh", description=__doc__)
    parser.add_argument("--url", default=URL, help=f"an OSV server, by default {URL}")
    parser.add_argument("--list", type=Path, default=FILE)
    options = parser.parse_args(arguments)
    try:
        packages = sorted({(ecosystem, name) for ecosystem, name, _, _ in used_parts(read_locks(root))})
        with httpx2.Client(base_url=options.url, timeout=TIMEOUT_S, follow_redirects=False) as client:
            found = {each["id"]: each for package in packages for each in _advisories(client, *package)}
        covers: dict[str, list[str]] = {}
        for ecosystem, name in packages:
            covers.setdefault(ecosystem, []).append(name)
        _write(options.list, options.url, covers, [found[identifier] for identifier in sorted(found)])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, OSError, BadLock) as exc:
        print(
            f"{options.url} was not asked for everything, and the list stays as it was: {type(exc).__name__}: {exc}",
            file=sys.stderr,
        )
        return 1
    print(f"{options.list}: {len(found)} advisories about {len(packages)} packages")
    return 0


def _advisories(client: httpx2.Client, ecosystem: str, name: str) -> Iterator[dict[str, Any]]:
    """Return all that is known of a package, cut down to what a verdict needs."""
    query: dict[str, Any] = {"package": {"ecosystem": ecosystem, "name": name}}
    for _ in range(_PAGES_MAX):
        answer = client.post("/v1/query", json=query).raise_for_status()
        if len(answer.content) > _ANSWER_BYTES_MAX:
            raise ValueError(f"the answer about {name} has {len(answer.content)} bytes")
        page = answer.json()
        for each in page.get("vulns", ()):
            yield _cut(each, ecosystem, name)
        if not page.get("next_page_token"):
            return
        query = {**query, "page_token": page["next_page_token"]}
    raise ValueError(f"the answer about {name} has no end")


def _cut(advisory: dict[str, Any], ecosystem: str, name: str) -> dict[str, Any]:
    about = [
        {key: one[key] for key in ("package", "ranges", "versions") if one.get(key)}
        for one in advisory["affected"]
        if one["package"]["ecosystem"] == ecosystem and canonical(one["package"]["name"]) == canonical(name)
    ]
    kept = {key: advisory[key] for key in ("id", "aliases", "modified", "withdrawn") if advisory.get(key)}
    return {**kept, "affected": about}


def _write(path: Path, url: str, covers: dict[str, list[str]], advisories: list[dict[str, Any]]) -> None:
    document = {
        "as_of": datetime.now(UTC).date().isoformat(), "origin": f"Asked of {url}.", "covers": covers, "advisories": advisories,
    }  # fmt: skip
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    try:
        read_list(new)
    except NoVerdict as exc:
        new.unlink()
        raise ValueError(str(exc)) from exc
    os.replace(new, path)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
