"""Run a command line: one place that turns errors into messages and exit codes.

0 done, 1 a check or verdict failed, 2 usage or configuration, 3 data, 4 broker or network, 5 risk halt, 130
interrupted.
Errors print what happened and what to do, without a traceback; `--debug` anywhere on the line shows it.
"""

import errno
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer

from tradesentry.core.domain.errors import TradeSentryError, nearest

INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What the parser raises; Typer brings its own Click along, whose errors are not those of the package `click`."""


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
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(f"{_message(error)}\n")
            return 0
        return _say(_usage_text(error, name), 2)
    except TradeSentryError as error:
        if debug:
            raise
        return _say(f"Error: {error}", error.exit_code)
    except OSError as error:
        if debug:
            raise
        return _say(_system_text(error), 3)
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if debug or number is None:
            raise
        # The table library hides what the system said in the text of its own error.
        return _say(_system_text(OSError(int(number[1]), os.strerror(int(number[1])))), 3)
    if code == INTERRUPTED:
        # Typer turns Ctrl-C into this code, without a word.
        return _say("Interrupted. Nothing half-written was left behind.", INTERRUPTED)
    return int(code or 0)


def _system_text(error: OSError) -> str:
    """Return what the operating system refused, and what to do."""
    if error.errno in DISK_FULL:
        return "Error: the disk is full; nothing half-written was kept. Free space, or choose another --out."
    place = f" {error.filename}" if error.filename else ""
    return f"Error: the system refused{place}: {error.strerror or error}. Check the path and its permissions."


def _message(error: Any) -> str:
    """Return the text of a parser's error; `Any` because its class is private to Typer."""
    return str(error.format_message())


def _usage_text(error: Any, name: str) -> str:
    text = _message(error)
    wrong = str(getattr(error, "option_name", ""))
    if type(error).__name__ == "NoSuchOption" and error.ctx is not None:
        known = [option for parameter in error.ctx.command.params for option in parameter.opts]
        text = f"There is no option {wrong}. {nearest(wrong, known)}"
    path = error.ctx.command_path if error.ctx is not None else name
    return f"Error: {text}\nSee: {path} --help"


def _say(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code
