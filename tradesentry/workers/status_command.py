"""`tradesentry status`: how the processes, accounts and alerts of an installation stand; exit code 1 if badly."""

import json
from pathlib import Path
from typing import Any

import typer

from tradesentry.backtest.commands.request import JsonOption
from tradesentry.backtest.commands.terminal import print_table
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.errors import CheckFailed, DatabaseError
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.passwords import read_passwords
from tradesentry.database.postmaster import last_port
from tradesentry.database.server import Server, open_server, server_of
from tradesentry.database.session import driver_errors
from tradesentry.settings import Settings, load_settings
from tradesentry.workers.health import OK, Facts, account_rows, alert_problems, process_rows, read_facts
from tradesentry.workers.installation import Installation
from tradesentry.workers.lifeline import installation_id
from tradesentry.workers.options import HomeOption

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show processes, accounts and alerts; exit code 1 if anything is wrong."""
    settings = load_settings()
    installation = Installation((home or settings.home).absolute())
    if installation.running_pid() is None:
        _say_nothing_runs(installation, as_json=as_json)
    state = installation.read()
    if "processes" not in state:
        raise CheckFailed(f"TradeSentry is only just starting in {installation.home}. Ask again in a moment.")
    facts = _facts(installation.home, settings, is_embedded=state["database"] == "embedded")
    document = status_document(state, facts, host=installation_id(installation.home), settings=settings)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(document)
    if document["problems"]:
        raise CheckFailed(f"Not healthy: {'; '.join(document['problems'])}. Logs are in {installation.logs}.")


def status_document(state: dict[str, Any], facts: Facts, *, host: str, settings: Settings) -> dict[str, Any]:
    """Return how an installation stands as JSON values.

    Args:
        state: What `tradesentry up` wrote.
        facts: Of the database.
        host: Name of the installation.
        settings: Say whether anybody is to be told of alerts.
    """
    processes = process_rows(state, facts, host=host, now_ns=SystemClock().now_ns())
    accounts = account_rows(facts)
    problems = [f"{row['process']} {row['health']}" for row in processes if row["health"] != OK]
    problems += [f"{row['account']} {row['health']}" for row in accounts if row["health"] != OK]
    problems += alert_problems(facts, has_addresses=bool(settings.notify_urls))
    alerts = facts.alerts
    return {
        "home": state["home"],
        "ready_seconds": state["ready_seconds"],
        "processes": processes,
        "accounts": accounts,
        "alerts_waiting": None if alerts is None else alerts.n_waiting,
        "oldest_alert_seconds": None if alerts is None else round(alerts.oldest_seconds, 1),
        "invariants_violated": None if alerts is None else alerts.n_violations,
        "gaps": [{"since_ns": g.since_ns, "until_ns": g.until_ns, "text": g.text} for g in facts.gaps.values()],
        "problems": problems,
    }


def _facts(home: Path, settings: Settings, *, is_embedded: bool) -> Facts:
    """Return what the database says; nothing when it does not answer."""
    try:
        with driver_errors():
            if is_embedded:
                return read_facts(_running_server(home, settings))
            url = None if settings.database_url is None else settings.database_url.get_secret_value()
            if url is None:
                raise DatabaseError("DATABASE_URL is not set here. Set it as it was for `tradesentry up`.")
            with open_server(home, database_url=url) as server:
                return read_facts(server)
    except DatabaseError:
        return Facts()


def _running_server(home: Path, settings: Settings) -> Server:
    """Return the server that `up` runs; nothing is started for a look."""
    embedded = EmbeddedPostgres(home, bin_dir=settings.pg_bin)
    embedded.passwords = read_passwords(embedded.placement.password_file)
    embedded.port = last_port(embedded.placement.port_file)
    return server_of(embedded)


def _say_nothing_runs(installation: Installation, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"home": str(installation.home), "problems": ["nothing runs"]}))
    raise CheckFailed(
        f"Nothing runs in {installation.home}. Start it with `tradesentry up`, or name its folder with --home.",
        code="not_up",
    )


def _show(document: dict[str, Any]) -> None:
    rows = [
        {
            "process": row["process"],
            "pid": row["pid"],
            "uptime": duration(row["uptime_seconds"]),
            "restarts": row["restarts"],
            "health": row["health"],
        }
        for row in document["processes"]
    ]
    print_table(rows)
    if document["accounts"]:
        typer.echo("")
        print_table([_shown_account(row) for row in document["accounts"]])
    typer.echo("")
    waiting, violated = document["alerts_waiting"], document["invariants_violated"]
    if waiting is None:
        typer.echo("the database does not answer: accounts and alerts are not known")
    else:
        typer.echo(f"alerts that nobody has got: {waiting}; invariants violated within the hour: {violated}")
    for gap in document["gaps"]:
        typer.echo(f"last gap: {gap['text']}")


def _shown_account(row: dict[str, Any]) -> dict[str, Any]:
    age = row["lease_age_seconds"]
    return {
        "account": row["account"],
        "owner": row["owner"],
        "epoch": row["epoch"],
        "lease age (s)": "-" if age is None else f"{age:.1f}",
        "state": row["state"],
        "runs": row["runs"] or "-",
        "health": row["health"],
    }


def duration(seconds: float | None) -> str:
    """Return a time as people say it: 12 s, 3 min, 2 h 5 min, 4 d 1 h."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
