"""The `scan` command: what a strategy's scanner sees now or at an instant of the past."""

import importlib
import json
import sys
from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.request import JsonOption, MarketRequest, takes_requests
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.market.bars import to_ns, utc_text
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.strategy_registry import strategy


def scanner_of(chosen: type[BaseStrategy]) -> Any:
    """Return the scanner module of a strategy.

    Raises:
        UsageError: The strategy has none.
    """
    package = chosen.__module__.rpartition(".")[0]
    try:
        return importlib.import_module(f"{package}.scanner")
    except ModuleNotFoundError as error:
        raise UsageError(f"{chosen.name} has no scanner. Strategies with one: breakout.", code="no_scanner") from error


@takes_requests
def scan(
    name: Annotated[str, typer.Argument(help="Strategy with a scanner, such as breakout.")],
    market: MarketRequest,
    at: Annotated[
        str | None, typer.Option("--at", help="Instant of the scan, ISO (UTC); the last bar if omitted.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show today's candidates of a strategy: state, width, score and why one was rejected."""
    run = market.resolve(name, limits="off")
    found = scanner_of(strategy(name)).scan_run(run, to_ns(at))
    rows = found.to_dicts()
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, default=str) + "\n")
        return
    last = max(int(s.bars["close_ns"][-1]) for s in run.data.series[: run.data.n_traded])
    say(f"{name} scan at {at or utc_text(last)} UTC{', SYNTHETIC data' if run.data.series[0].is_synthetic else ''}")
    print_table([{key: _text(value) for key, value in row.items()} for row in rows])


def _text(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
