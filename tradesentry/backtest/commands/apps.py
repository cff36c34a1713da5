"""The commands over strategies: list them, show one, explain its configuration."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.options import show as show_rows
from tradesentry.backtest.commands.request import ConfigOption, JsonOption, SetOption
from tradesentry.backtest.new_app import write_app
from tradesentry.backtest.resolve import resolve_config
from tradesentry.core.strategy.parameters import parameter_rows
from tradesentry.core.strategy.strategy_registry import strategy, strategy_modules

app = typer.Typer(no_args_is_help=True, help="List and explain strategies.", rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(help="Strategy.")]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List all strategies."""
    rows = [
        {"name": name, "summary": strategy(name).summary, "module": module.partition(":")[0]}
        for name, module in sorted(strategy_modules().items())
    ]
    show_rows(rows, rows, as_json=as_json)


@app.command("show")
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show the parameters of a strategy with bounds, units and meaning."""
    chosen = strategy(name)
    if as_json:
        sys.stdout.write(json.dumps(chosen.Config.model_json_schema(), indent=2) + "\n")
        return
    show_rows([], parameter_rows(chosen.Config), as_json=False)


@app.command("config")
def config_(
    name: NameArgument,
    config: ConfigOption = None,
    set_: SetOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say where each value comes from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the resolved configuration of a strategy as YAML, or each value with its origin."""
    resolved = resolve_config(name, path=config, overrides=set_ or [])
    if explain or as_json:
        rows: list[dict[str, Any]] = [
            {"key": key, "value": value if as_json else str(value), "origin": _short(origin)}
            for key, value, origin in resolved.explain()
        ]
        show_rows(rows, rows, as_json=as_json)
    else:
        sys.stdout.write(resolved.dump_yaml())


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the new strategy, as in mean_reversion.")],
    into: Annotated[Path, typer.Option("--into", help="Folder that gets the new package.")] = Path(),
) -> None:
    """Write the package of a new strategy that works as it is, to be filled with your own idea."""
    folder = write_app(name, into)
    typer.echo(f"wrote {folder}")
    typer.echo(f"next: pip install --editable {folder}")
    typer.echo(f"      tradesentry check {name}")
    typer.echo(f"      tradesentry backtest {name}")


def _short(origin: str) -> str:
    """Return an origin without the folder of the shipped apps."""
    shipped = Path(__file__).resolve().parents[2] / "apps"
    return origin.replace(f"{shipped}/", "")
