"""Start one process without the rest of the command line: `python -m tradesentry.workers.entry relay`.

What a supervisor starts again has to be back soon, and half of the start of `tradesentry NAME` is spent on importing
commands that it is not. Options, messages and exit codes are those of `tradesentry NAME`.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer

from tradesentry.backtest.commands.shell import run_command
from tradesentry.core.domain.errors import UsageError, nearest

PROCESSES: Final = {
    "agent": ("tradesentry.workers.agent_command", "run"),
    "relay": ("tradesentry.workers.relay", "relay"),
}
"""Module and function of each."""


def main(line: Sequence[str] | None = None) -> int:
    """Run the process that the first word names and return its exit code.

    Args:
        line: Words of the command line; this process's own when None.
    """
    words = list(sys.argv[1:] if line is None else line)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    name = words[0] if words else ""
    if name not in PROCESSES:
        sys.stderr.write(f"Error: {UsageError(f'There is no process {name!r}. {nearest(name, PROCESSES)}')}\n")
        return UsageError.exit_code
    module, function = PROCESSES[name]
    app.command(name)(getattr(import_module(module), function))
    return run_command(app, words[1:], name=f"tradesentry {name}")


if __name__ == "__main__":
    sys.exit(main())
