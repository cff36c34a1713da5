"""Groups of commands whose most frequent one needs no name: `tradesentry live breakout` for `live run breakout`."""

from typing import Any

from typer.core import TyperGroup


class RunsByDefault(TyperGroup):
    """Takes a first word that names no command of the group for an argument of `run`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command and its arguments; `Any` because the parser's classes are private to Typer."""
        if args and args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let options of `run` come first as well."""
        if args and args[0].startswith("-") and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)
