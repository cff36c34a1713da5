"""Command runs that an agent trades: show, pause, resume, stop, flatten, re-arm. A wish is recorded, agents obey."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.request import JsonOption
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.core.domain.errors import UsageError, nearest
from tradesentry.database.accounts import AccountRow, Accounts, Gap, RunRow
from tradesentry.database.roles import APP
from tradesentry.database.server import open_server
from tradesentry.database.session import driver_errors
from tradesentry.settings import load_settings
from tradesentry.workers.options import HomeOption

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Strategy, or id of the run.")]
AccountOption = Annotated[str | None, typer.Option("--account", help="Account, where several trade that strategy.")]
ConfirmOption = Annotated[str | None, typer.Option("--confirm", help="The account, to show that it is meant.")]
SEEN_SECONDS = 3.0
"""An agent looks at what owners want every second."""


@contextmanager
def opened_accounts(home: Path | None) -> Iterator[Accounts]:
    """Lend the accounts of this installation.

    Args:
        home: Its folder.

    Raises:
        DatabaseError: The database cannot be opened.
    """
    settings = load_settings()
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    folder = (home or settings.home).absolute()
    with open_server(folder, database_url=url, bin_dir=settings.pg_bin) as server, driver_errors():
        yield Accounts(server.url(APP))


def find_run(accounts: Accounts, run: str, account: str | None) -> tuple[AccountRow, RunRow]:
    """Return a run that is wanted, by its strategy or id.

    Args:
        accounts: Where to look.
        run: Strategy, `strategy:variant`, or the beginning of the id.
        account: Only on that account.

    Raises:
        UsageError: There is none, or several.
    """
    rows = accounts.all() if account is None else [accounts.find(account)]
    every = [(row, one) for row in rows for one in accounts.runs(row.account_id) if one.desired != "stopped"]
    hits = [
        (row, one) for row, one in every
        if run in (one.strategy, f"{one.strategy}:{one.variant}") or (len(run) >= 6 and str(one.run_id).startswith(run))
    ]  # fmt: skip
    if len(hits) == 1:
        return hits[0]
    names = [f"{one.strategy}:{one.variant}" for _, one in every]
    if hits:
        places = ", ".join(f"{row.broker}:{row.account_ref} {str(one.run_id)[:8]}" for row, one in hits)
        raise UsageError(f"{run!r} is traded {len(hits)} times: {places}. Name the run by its id, or add --account.")
    raise UsageError(f"No run {run!r} is wanted. {nearest(run, names)}", code="no_run")


def _command(run: str, desired: str, account: str | None, home: Path | None) -> tuple[AccountRow, RunRow]:
    with opened_accounts(home) as accounts:
        row, found = find_run(accounts, run, account)
        accounts.command(row.account_id, desired, strategy=found.strategy)
    traded = f"its agent {row.owner} obeys within a second or two" if row.is_leased else "no agent trades it now"
    say(f"{found.strategy} on {row.broker}:{row.account_ref}: {desired} is wanted; {traded}.")
    return row, found


def pause(run: RunArgument, account: AccountOption = None, home: HomeOption = None) -> None:
    """Let a run enter nothing more; exits, stops and protection go on."""
    _command(run, "paused", account, home)


def resume(run: RunArgument, account: AccountOption = None, home: HomeOption = None) -> None:
    """Let a paused run enter again."""
    _command(run, "running", account, home)


def stop(run: RunArgument, account: AccountOption = None, home: HomeOption = None) -> None:
    """End a run: its entries are taken back, its trades keep their stops at the venue."""
    _command(run, "stopped", account, home)


def flatten(
    run: RunArgument, account: AccountOption = None, confirm: ConfirmOption = None, home: HomeOption = None
) -> None:
    """Take back every entry and close every trade of the run's account, then end the run."""
    with opened_accounts(home) as accounts:
        row, _ = find_run(accounts, run, account)
        check_confirmed(row, confirm, "close every trade of")
    _command(run, "flatten", account, home)


def halt(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account, as the venue names it.")],
    home: HomeOption = None,
) -> None:
    """Stop an account from trading: entries are taken back, only a person may reduce, stops stand."""
    with opened_accounts(home) as accounts:
        row = accounts.find(account)
        accounts.halt(row.account_id, is_halted=True)
    say(f"{row.broker}:{row.account_ref} is to be HALTED. Lift it with: tradesentry live rearm {account} --confirm …")


def rearm(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account, as the venue names it.")],
    confirm: ConfirmOption = None,
    home: HomeOption = None,
) -> None:
    """Let a halted account trade again, with its limits counted from the present equity."""
    with opened_accounts(home) as accounts:
        row = accounts.find(account)
        check_confirmed(row, confirm, "arm")
        if row.desired_trading != "halted":
            # The agent re-arms when it sees a halt of its owner's lifted, so it has to see one first.
            accounts.halt(row.account_id, is_halted=True)
            time.sleep(SEEN_SECONDS)
        accounts.halt(row.account_id, is_halted=False)
    say(f"{row.broker}:{row.account_ref} is to be armed again. It was {row.trading_state or 'never traded'}.")


def check_confirmed(row: AccountRow, given: str | None, what: str) -> None:
    """Refuse what can lose money unless the account was named.

    Raises:
        UsageError: It was not.
    """
    if given not in (row.account_ref, f"{row.broker}:{row.account_ref}"):
        raise UsageError(
            f"This would {what} {row.environment} account {row.account_ref} at {row.broker}, and --confirm says "
            f"{given!r}. Nothing was done. Add: --confirm {row.account_ref}",
            code="not_confirmed",
        )


def status(account: AccountOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the linked accounts, who trades them, in which state and why, and their runs."""
    with opened_accounts(home) as accounts:
        rows = accounts.all() if account is None else [accounts.find(account)]
        gaps = accounts.last_gaps()
        document = [
            _document(
                row, [run for run in accounts.runs(row.account_id) if run.desired != "stopped" or account],
                gap=gaps.get(row.account_id),
            )
            for row in rows
        ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps(document, indent=2, default=str))
        return
    print_table([{key: value for key, value in row.items() if key not in ("runs", "gap")} for row in document])
    runs = [{"account": row["account"], **run} for row in document for run in row["runs"]]
    if runs:
        typer.echo("")
        print_table(runs)
    for row in document:
        if row["gap"] is not None:
            typer.echo(f"\nlast gap of {row['account']}: {row['gap']['text']}")


def _document(row: AccountRow, runs: list[RunRow], *, gap: Gap | None) -> dict[str, Any]:
    return {
        "account": f"{row.broker}:{row.account_ref}",
        "environment": row.environment,
        "owner": row.owner if row.is_leased else "nobody",
        "epoch": row.epoch,
        "state": row.trading_state or "-",
        "reason": row.reason or "",
        "wanted": row.desired_trading,
        "gap": None if gap is None else {"since_ns": gap.since_ns, "until_ns": gap.until_ns, "text": gap.text},
        "runs": [
            {
                "strategy": f"{run.strategy}:{run.variant}",
                "run": str(run.run_id),
                "desired": run.desired,
                "actual": run.actual,
                "error": run.last_error or "",
            }
            for run in runs
        ],
    }
