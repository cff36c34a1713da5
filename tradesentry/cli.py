"""The root command: mounts every other command and turns errors into exit codes."""

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tradesentry import __version__
from tradesentry.backtest.cli import backtest_app
from tradesentry.backtest.commands.apps import app as apps_app
from tradesentry.backtest.commands.check import check
from tradesentry.backtest.commands.compare import compare
from tradesentry.backtest.commands.data import app as data_app
from tradesentry.backtest.commands.runs import app as runs_app
from tradesentry.backtest.commands.runs import report
from tradesentry.backtest.commands.scan import scan
from tradesentry.backtest.commands.shell import run_command
from tradesentry.backtest.commands.sweep import sweep
from tradesentry.backtest.commands.walk_forward import walk_forward
from tradesentry.database.commands import app as db_app
from tradesentry.workers.agent_command import app as agent_app
from tradesentry.workers.broker_commands import app as broker_app
from tradesentry.workers.down_command import down
from tradesentry.workers.live_command import app as live_app
from tradesentry.workers.mt5_gateway_command import mt5_gateway
from tradesentry.workers.relay import relay
from tradesentry.workers.status_command import status
from tradesentry.workers.up_command import up

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Back-test FX strategies honestly, then run them without fear. `--debug` on any command shows tracebacks.",
)
app.command("up")(up)
app.command("down")(down)
app.command("status")(status)
app.command("backtest")(backtest_app)
app.command("sweep")(sweep)
app.command("walk-forward")(walk_forward)
app.command("mt5-gateway")(mt5_gateway)
app.command("check")(check)
app.command("scan")(scan)
app.command("report")(report)
app.command("compare")(compare)
app.command("relay")(relay)
app.add_typer(live_app, name="live")
app.add_typer(agent_app, name="agent")
app.add_typer(broker_app, name="broker")
app.add_typer(apps_app, name="apps")
app.add_typer(data_app, name="data")
app.add_typer(runs_app, name="runs")
app.add_typer(db_app, name="db")


class _DrlGroup(TyperGroup):
    """The commands of drlfusion, loaded when one is asked for: its kernels take long to import."""

    def _loaded(self) -> Any:
        """Return the real group; `Any` because the parser's classes are private to Typer."""
        module = importlib.import_module("tradesentry.apps.drlfusion.cli_train")
        return typer.main.get_command(module.app)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        names: list[str] = self._loaded().list_commands(ctx)
        return names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None when there is none of that name."""
        return self._loaded().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command and its arguments."""
        return self._loaded().resolve_command(ctx, args)


drl_app = typer.Typer(
    cls=_DrlGroup, no_args_is_help=True, help="Train the agents of drlfusion, and look at what was trained."
)
app.add_typer(drl_app, name="drl")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Back-test FX strategies honestly, then run them without fear."""


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run_command(app))


if __name__ == "__main__":
    main()
