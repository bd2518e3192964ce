"""`midstream settings`: every setting with its default, its legal values and one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Final

from services.cli.settings_catalogue import EVERYWHERE, MODELS, Setting, names, sensitive, settings_of
from services.cli.terminal import write

_ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = _ROOT / "docs" / "settings.md"
NAMES: Final = _ROOT / "services" / "runtime" / "setting_names.py"

_HEAD: Final = """# Settings

Every setting is an environment variable. This page is written by `make settings` from the models that the servers read their
settings with; `midstream settings [SERVER]` prints the same. A server that meets an unusable value ends with exit code 2 and
one line per problem. A variable that begins with `MIDSTREAM_` and is no setting is warned about at start, with the name that
was probably meant; with `MIDSTREAM_STRICT=1` it is refused.

On/off settings take `on` and `off`. An empty cell under "default" means none. Sensitive settings are marked: their values are
never shown, and they may lie in AWS Parameter Store, see [secrets.md](secrets.md).
"""

_NAMES_HEAD: Final = '''"""The names of all settings but those of exchanges. `make settings` writes this from the models; do not edit."""

from typing import Final

NAMES: Final = frozenset(
    {
'''

_SENSITIVE_HEAD: Final = """    }
)

SENSITIVE: Final = frozenset(
    {
"""

_NAMES_END: Final = '''    }
)
"""Those that are never shown, and may lie in Parameter Store."""
'''


def run_settings(server: str | None, *, as_json: bool, as_markdown: bool) -> int:
    """Print the settings of one server or of all; return the exit code."""
    found = settings_of(server)
    if as_json:
        write(json.dumps({"server": server, "settings": [asdict(each) for each in found]}))
    elif as_markdown:
        print(markdown(found), end="")
    else:
        write("\n".join(_text(found)))
    return 0


def markdown(found: Sequence[Setting]) -> str:
    """Return the page: one table for each group."""
    lines = [_HEAD]
    for group, settings in groupby(found, key=lambda each: each.group):
        lines += [f"## {_title(group)}", "| variable | default | legal values | meaning |", "|---|---|---|---|"]
        lines += [_row(each) for each in settings]
        lines.append("")
    return "\n".join(lines)


def names_module() -> str:
    """Return the source of the module that lists the names."""
    return f"{_NAMES_HEAD}{_lines(names())}{_SENSITIVE_HEAD}{_lines(sensitive())}{_NAMES_END}"


def _lines(found: Iterable[str]) -> str:
    return "".join(f'        "{name}",\n' for name in sorted(found))


def write_pages() -> None:
    """Write what is made from the models again."""
    PAGE.write_text(markdown(settings_of()), encoding="utf-8")
    NAMES.write_text(names_module(), encoding="utf-8")


def _title(group: str) -> str:
    return "Every server" if group == EVERYWHERE else group.capitalize() if " " in group else f"`{group}`"


def _row(each: Setting) -> str:
    variable = "<br>".join([f"`{each.name}`", *(f"else `{name}`" for name in each.also)])
    default = "(required)" if each.required else f"`{each.default}`" if each.default else ""
    return f"| {variable} | {default} | {_cell(each.legal)} | {_cell(_meaning(each))} |"


def _meaning(each: Setting) -> str:
    """Return the sentence; where only some servers read what stands under all of them, say which."""
    some = each.group == EVERYWHERE and len(each.servers) < len(MODELS)
    sentence = f"{each.sentence} **Sensitive.**" if each.sensitive else each.sentence
    return f"{sentence} (Read by {', '.join(each.servers)}.)" if some else sentence


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(found: Sequence[Setting]) -> Iterator[str]:
    for group, settings in groupby(found, key=lambda each: each.group):
        yield f"{group}:"
        for each in settings:
            default = "required" if each.required else f"default {each.default}" if each.default else "no default"
            yield f"  {each.name}" + "".join(f", else {name}" for name in each.also)
            yield f"      {each.sentence}"
            yield f"      {default}; legal: {each.legal}"
            if each.sensitive:
                yield "      sensitive: its value is never shown, and may lie in Parameter Store"


if __name__ == "__main__":
    write_pages()
