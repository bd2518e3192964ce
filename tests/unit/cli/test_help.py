"""Help pages and completion: on narrow and dumb terminals, without colours, in every shell, and at no cost to a start."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from services.cli.main import app
from tests.support.cli import ROOT, clean_environment, midstream, midstream_here

NARROW = 40
HEAVY = (
    "grpc",
    "redis",
    "sqlalchemy",
    "pydantic_settings",
    "numpy",
    "boto3",
    "fastapi",
    "google.protobuf",
    "fastpath.decode",
)
"""What no help page needs."""


def leaves() -> Iterator[tuple[tuple[str, ...], typer.core.TyperCommand]]:
    """Every command that does something, by what is typed for it."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from (((name, leaf), found) for leaf, found in command.commands.items())
        else:
            yield (name,), command


LEAVES = dict(leaves())


@pytest.mark.cases(8)
@pytest.mark.parametrize("typed", LEAVES, ids=" ".join)
def test_a_narrow_terminal_shows_every_option_whole(typed: tuple[str, ...]) -> None:
    done = midstream(*typed, "--help", environment={"COLUMNS": str(NARROW)})

    assert (done.code, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if len(line) > NARROW] == []
    words = set(re.findall(r"[-\w]+", done.stdout))
    assert {text for each in LEAVES[typed].params for text in each.opts if text.startswith("--")} <= words
    variables = {name for each in LEAVES[typed].params for name in re.findall(r"MIDSTREAM_\w+", str(each.help or ""))}  # type: ignore[attr-defined]
    assert variables <= words


@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_first_page_cuts_no_sentence(columns: str) -> None:
    done = midstream("--help", environment={"COLUMNS": columns})

    told = " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stdout).split())
    assert "..." not in told.replace("[ARGS]...", "")
    assert [
        typed for typed, found in LEAVES.items() if len(typed) == 1 and not found.hidden and typed[0] not in told
    ] == []


@pytest.mark.parametrize("quiet", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=["NO_COLOR", "dumb", "no terminal"])
def test_nothing_colours_a_page_that_is_not_for_it(quiet: dict[str, str]) -> None:
    done = midstream("replay", "--help", environment=quiet)

    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("script") is None, reason="script")
@pytest.mark.parametrize("quiet", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_on_a_terminal_too(quiet: dict[str, str]) -> None:
    done = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m services.cli --help", "/dev/null"],
        cwd=ROOT,
        env=clean_environment(quiet),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "midstream [OPTIONS] COMMAND" in done.stdout
    assert re.findall(r"\x1b\[[0-9;]*3[0-9][;m]", done.stdout) == []


@pytest.mark.parametrize(
    "typed", [("--help",), (), ("--version",), ("price", "--help"), ("--show-completion", "bash")], ids=str
)
def test_a_page_is_there_before_anything_heavy_is_loaded(typed: tuple[str, ...]) -> None:
    program = (
        "import sys\nfrom services.cli.main import run\n"
        f"try: run({list(typed)!r})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60
    )

    assert done.stderr == "[]\n"


def asked_by(shell: str, typed: str) -> list[str]:
    """Return what `shell` would offer for the last word of a line; the words of the line as its script hands them over."""
    words = typed.split(" ")
    asks = {
        "bash": {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": typed},
        "fish": {
            "_TYPER_COMPLETE_ARGS": typed,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
        },
    }
    done = midstream(environment={**asks[shell], "_MIDSTREAM_COMPLETE": f"complete_{shell}"})
    assert done.stderr == ""
    if shell == "zsh":
        return re.findall(r'^\s*"?\(?"([^":]+)"', done.stdout.replace("_arguments '*: :((", ""), re.MULTILINE)
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.cases(1)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_words(shell: str) -> None:
    assert {"mode", "replay", "keys"} <= set(asked_by(shell, "midstream "))
    assert asked_by(shell, "midstream mo") == ["mode"]
    assert asked_by(shell, "midstream mode ") == ["historical", "live"]
    assert asked_by(shell, "midstream price --max") == ["--max-age-ms"]
    assert asked_by(shell, "midstream keys ") == ["create", "list", "revoke"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(shell: str) -> None:
    done = midstream("--show-completion", shell)

    assert (done.code, done.stderr) == (0, "")
    assert f"complete_{shell}" in done.stdout
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=done.stdout, text=True, check=True, timeout=30)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash")
def test_bash_completes_a_real_line(tmp_path: Path) -> None:
    there = tmp_path / "midstream"
    there.write_text(f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m services.cli "$@"\n')
    there.chmod(0o755)
    script = (
        'eval "$(midstream --show-completion bash)"\nCOMP_WORDS=(midstream mo); COMP_CWORD=1\n'
        '_midstream_completion midstream\necho "${COMPREPLY[@]}"'
    )

    done = subprocess.run(
        ["bash", "-c", script],
        env=clean_environment({"PATH": f"{tmp_path}:/usr/bin:/bin"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "mode\n"


def test_a_shell_that_there_is_no_script_for_is_refused() -> None:
    done = midstream_here("--show-completion", "tcsh")

    assert (done.code, done.stdout) == (2, "")
    assert "'bash', 'zsh', 'fish'" in done.error_line


def test_installing_says_where_the_script_is(tmp_path: Path) -> None:
    done = midstream("--install-completion", "fish", environment={"HOME": str(tmp_path)})

    [script] = tmp_path.rglob("midstream.fish")
    assert done.code == 0
    assert str(script) in done.error_line
