"""Run a command line: one place that turns errors into messages and exit codes.

0 done, 1 a check or verdict failed, 2 usage or configuration, 3 data, 4 broker or network, 5 risk halt, 130
interrupted.
Errors print what happened and what to do, without a traceback; `--debug` anywhere on the line shows it.
"""

import sys
from collections.abc import Sequence

import click
import typer

from tradesentry.core.domain.errors import TradeSentryError, nearest

INTERRUPTED = 130
DISK_FULL = 28


def run_command(app: typer.Typer, arguments: Sequence[str] | None = None, *, name: str = "tradesentry") -> int:
    """Run `app` on a command line and return its exit code.

    Args:
        app: The commands.
        arguments: The line without the program's name; the process's own when None.
        name: Program name for usage texts.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    line = [argument for argument in given if argument != "--debug"]
    try:
        code = typer.main.get_command(app).main(args=line, prog_name=name, standalone_mode=False)
    except KeyboardInterrupt:
        return _say("Interrupted. Nothing half-written was left behind.", INTERRUPTED)
    except click.exceptions.Abort:
        return _say("Interrupted. Nothing half-written was left behind.", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(error.format_message() + "\n")
        return 0
    except click.UsageError as error:
        return _say(_usage_text(error, name), 2)
    except TradeSentryError as error:
        if debug:
            raise
        return _say(f"Error: {error}", error.exit_code)
    except OSError as error:
        if debug or error.errno != DISK_FULL:
            raise
        return _say("Error: the disk is full; nothing half-written was kept. Free space, or choose another --out.", 3)
    return int(code or 0)


def _usage_text(error: click.UsageError, name: str) -> str:
    text = error.format_message()
    if isinstance(error, click.exceptions.NoSuchOption) and error.ctx is not None:
        known = [option for parameter in error.ctx.command.params for option in parameter.opts]
        text = f"There is no option {error.option_name}. {nearest(error.option_name, known)}"
    path = error.ctx.command_path if error.ctx is not None else name
    return f"Error: {text}\nSee: {path} --help"


def _say(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code
