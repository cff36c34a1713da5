"""`tradesentry agent`: trade every account that is wanted and free, in the background; several share the work."""

import asyncio
import gc
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.bootstrap import notifier_of, open_stores
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.execution.journal_rows import Claim
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.utils.logger import configure_logging
from tradesentry.database.roles import AGENT, RELAY
from tradesentry.database.server import Server, open_server
from tradesentry.database.session import connect, driver_errors
from tradesentry.settings import Settings, load_settings
from tradesentry.workers.agent import MAX_ACCOUNTS, Agent, AgentSettings
from tradesentry.workers.alerting import Alerting, delivered
from tradesentry.workers.default_command import RunsByDefault
from tradesentry.workers.lifeline import Slot, end_with_supervisor, installation_id
from tradesentry.workers.monitors import watching
from tradesentry.workers.options import HomeOption
from tradesentry.workers.session import AccountSession, SessionOptions
from tradesentry.workers.supervisor import Child, Supervisor

app = typer.Typer(
    cls=RunsByDefault, no_args_is_help=False, invoke_without_command=True, rich_markup_mode=None,
    help="Trade every account that is wanted, in the background.",
)  # fmt: skip
BROKERS = ("paper", "oanda", "mt5")
_AGENTS = (
    "SELECT a.host, a.slot, a.brokers, a.max_accounts, extract(epoch FROM now() - a.heartbeat_at)::float8,"
    " (SELECT count(*) FROM account_leases l WHERE l.owner = a.host || ':' || a.slot) FROM agents a"
    " ORDER BY a.host, a.slot"
)
SLOT_SECONDS = 15.0
"""How long an agent waits for the old process of its slot to die."""


def brokers_of(text: str) -> tuple[str, ...]:
    """Return the brokers of `paper,oanda`.

    Raises:
        UsageError: One of them does not exist.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [name for name in names if name not in BROKERS]
    if unknown or not names:
        raise UsageError(f"--brokers {text!r}: choose of {', '.join(BROKERS)}.")
    return names


@app.callback()
def root(context: typer.Context) -> None:
    """Trade every account that is wanted, in the background."""
    if context.invoked_subcommand is None:
        run()


@app.command("run")
def run(
    slot: Annotated[int, typer.Option("--slot", help="Place of this process on this machine.", min=0)] = 0,
    brokers: Annotated[str, typer.Option(help="Venues that it can reach, comma-separated.")] = ",".join(BROKERS),
    max_accounts: Annotated[int, typer.Option(help="Most accounts that it holds.", min=1)] = MAX_ACCOUNTS,
    keep_entries: Annotated[bool, typer.Option("--keep-entries", help="Leave resting entries at the venue.")] = False,
    metrics_port: Annotated[int | None, typer.Option(help="Loopback port of the metrics; 0 any.", min=0)] = None,
    supervise: Annotated[int, typer.Option(help="Keep so many agents alive instead of being one.", min=0)] = 0,
    is_managed: Annotated[
        bool, typer.Option("--managed", hidden=True, help="The database is prepared, and a relay delivers alerts.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Be an agent until Ctrl-C, or keep several alive."""
    settings = load_settings()
    folder = (home or settings.home).absolute()
    names = brokers_of(brokers)
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    with open_server(folder, database_url=url, bin_dir=settings.pg_bin) as server, driver_errors():
        if not is_managed:
            server.initialize()
        if supervise:
            code = asyncio.run(_supervise(folder, slot, supervise, names, max_accounts, keep_entries))
        else:
            configure_logging(settings.log_level, file=settings.log_file)
            end_with_supervisor()
            place = AgentSettings(
                installation_id(folder),
                slot,
                brokers=names,
                max_accounts=max_accounts,
                reclaims=True,
                keep_entries=keep_entries,
            )
            with Slot(folder, f"agent-{slot}", wait_seconds=SLOT_SECONDS):
                # What is loaded by now stays; without this every full collection walks through it, while orders wait.
                gc.freeze()
                asyncio.run(_work(server, settings, place, metrics_port, is_managed))
            code = 0
    if code:
        raise typer.Exit(code)


async def _work(
    server: Server, settings: Settings, place: AgentSettings, metrics_port: int | None, is_managed: bool
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    notifier, clock = notifier_of(settings), SystemClock()

    alerts = Alerting(notifier)
    try:
        async with (
            open_stores(server.url(AGENT), n_connections=20) as stores,
            watching(
                clock,
                alerts.direct(),
                metrics_port=metrics_port,
                heartbeat_url=settings.heartbeat_url,
                name=f"agent {place.owner}",
            ) as monitors,
            nullcontext()
            if is_managed
            else delivered(server.url(RELAY), notifier, clock, settings=settings, metrics=monitors.metrics),
        ):
            options = SessionOptions(metrics=monitors.metrics)

            async def open_session(claim: Claim, fence: SelfFence) -> AccountSession:
                return AccountSession(
                    claim, fence, stores=stores, settings=settings, clock=clock, alerts=alerts, options=options
                )

            if monitors.url is not None:
                say(f"metrics: {monitors.url}")

            say(f"agent {place.owner} looks for accounts of {', '.join(place.brokers)}; Ctrl-C ends it cleanly")
            await Agent(stores.journal, stores.roster, open_session, clock, place, alerts=alerts.direct).run(stop)
    finally:
        await asyncio.to_thread(notifier.close)


async def _supervise(
    folder: Path, first: int, n_agents: int, brokers: Sequence[str], max_accounts: int, keep_entries: bool
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = ("--home", str(folder), "--brokers", ",".join(brokers), "--max-accounts", str(max_accounts))
    more = ("--keep-entries",) if keep_entries else ()
    children = [
        Child(
            f"agent-{slot}",
            (sys.executable, "-m", "tradesentry.cli", "agent", "run", "--slot", str(slot), *options, *more),
        )
        for slot in range(first, first + n_agents)
    ]
    say(f"{n_agents} agents are kept alive; their output is in {folder / 'logs'}; Ctrl-C ends all of them")
    return await Supervisor(children, folder / "logs", SystemClock()).run(stop)


@app.command("list")
def list_(home: HomeOption = None) -> None:
    """Show the agents with the age of their last sign of life and what they hold."""
    settings = load_settings()
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    folder = (home or settings.home).absolute()
    with (
        open_server(folder, database_url=url, bin_dir=settings.pg_bin) as server,
        driver_errors(),
        connect(server.url(AGENT)) as connection,
    ):
        rows: list[Any] = connection.execute(_AGENTS).fetchall()
    shown = [
        {"agent": f"{host}:{slot}", "brokers": ",".join(brokers), "accounts": held, "at most": most,
         "last seen (s)": f"{age:.1f}"}
        for host, slot, brokers, most, age, held in rows
    ]  # fmt: skip
    if not shown:
        say("no agent is registered")
    print_table(shown)
