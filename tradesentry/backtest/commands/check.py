"""The `check` command: prove a strategy on bars, a user's own included; exit code 1 when a check fails."""

import sys
from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.options import show
from tradesentry.backtest.commands.request import JsonOption, MarketRequest, takes_requests
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.backtest.proofs import checks_of
from tradesentry.core.domain.errors import UsageError, nearest
from tradesentry.core.strategy.checks import CheckResult

NAMES = "look-ahead, restart, parity, mirror, zero-edge, costs, sensitivity or all."


@takes_requests
def check(
    name: Annotated[str, typer.Argument(help="Strategy.")],
    market: MarketRequest,
    which: Annotated[str, typer.Argument(help=NAMES)] = "all",
    cost_profile: Annotated[str, typer.Option(help="raw, standard, retail or free.")] = "standard",
    as_json: JsonOption = False,
) -> None:
    """Prove a strategy: no look-ahead, restart, parity, mirror, no edge from nothing, costs, sensitivity."""
    run = market.resolve(name, limits="off", costs=cost_profile)
    checks = checks_of(run)
    if which != "all" and which not in checks:
        raise UsageError(f"There is no check {which!r}. {nearest(which, [*checks, 'all'])}")
    outcomes = []
    for label in checks if which == "all" else [which]:
        say(f"checking {label} ...")
        outcomes.append(checks[label]())
    _show(outcomes, as_json=as_json)
    if not all(outcome.is_passed for outcome in outcomes):
        raise typer.Exit(1)


def _show(outcomes: list[CheckResult], *, as_json: bool) -> None:
    """Print the tables of the checks, then one line for each."""
    rows: list[dict[str, Any]] = [
        {"check": o.name, "result": "passed" if o.is_passed else "FAILED", "detail": o.detail} for o in outcomes
    ]
    if not as_json:
        for outcome in outcomes:
            if outcome.table:
                print_table(outcome.table)
                sys.stdout.write("\n")
    document = [row | {"table": list(o.table)} for row, o in zip(rows, outcomes, strict=True)]
    show(document, rows, as_json=as_json)
