"""How help pages are laid out: flags without a type, arguments as they are typed, nothing cut on a narrow terminal."""

from __future__ import annotations

import shutil
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

COLUMNS: Final = shutil.get_terminal_size().columns
FRAMES_COLUMNS_MIN: Final = 60
"""Frames cost a narrower terminal the names of options."""

MARKUP: Final = "rich" if COLUMNS >= FRAMES_COLUMNS_MIN else None

_FIRST_COLUMN_MAX: Final = 8
_Formatter: type[Any] = typer.Context.formatter_class


class _Narrow(_Formatter):  # type: ignore[misc]  # the framework exports the class under no name
    """Pages as wide as the terminal; what explains a long name begins below it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(width=COLUMNS)

    def write_dl(self, rows: Any, col_max: int = _FIRST_COLUMN_MAX, col_spacing: int = 2) -> None:
        super().write_dl(rows, col_max, col_spacing)


class _Context(typer.Context):
    formatter_class = _Formatter if MARKUP else _Narrow


class Command(TyperCommand):
    """A command."""

    context_class = _Context

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters; a switch takes no value, so help names none."""
        return _switches_without_type(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the arguments as everybody writes them: FILE..., [NAME]..."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


class Group(TyperGroup):
    """A group of commands."""

    context_class = _Context

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters; a switch takes no value, so help names none."""
        return _switches_without_type(super().get_params(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with all of what they do; the framework cuts it where there are no frames."""
        rows = [(name, _first_paragraph(command.help)) for name, command in self.commands.items() if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())


def _switches_without_type(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
    return parameters
