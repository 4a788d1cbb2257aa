"""The list of commands in `rlmbox --help`, by what they are for, and those that have an option for a text."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

GROUPS = MappingProxyType(
    {
        "Questions": ("ask", "chat", "demo", "eval"),
        "Recorded runs": ("runs", "show", "resume", "replay", "fork", "export", "audit", "rm"),
        "Code for other programs": ("exec", "subset", "tool", "mcp"),
        "Setting up": ("doctor", "keys", "models", "profiles", "config", "guard", "index"),
    }
)
"""Each heading with its commands, in order; one that is in none comes last."""

_OTHERS = "More commands"
_SHORTEST_HELP_CHARS = 20


class GroupedCommands(TyperGroup):
    """Commands that `--help` lists in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, those of a group below its heading."""
        left = dict.fromkeys(self.list_commands(ctx))
        for heading, names in [*GROUPS.items(), (_OTHERS, tuple(left))]:
            commands = [(name, self.get_command(ctx, name)) for name in names if name in left]
            for name, _ in commands:
                del left[name]
            widest = max((len(name) for name in self.list_commands(ctx)), default=0)
            room = max(_SHORTEST_HELP_CHARS, formatter.width - widest - 6)
            rows = [(name, command.get_short_help_str(room)) for name, command in commands if command is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class CommandOverText(TyperCommand):
    """A command whose text is given with an option, which says so where it is given as another argument."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, and refuse those that are too many."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest:
            remedy = "put the question in quotes, and give a text with --context"
            raise typer.BadParameter(f"unexpected argument {rest[0]!r}; {remedy}", ctx)
        return rest
