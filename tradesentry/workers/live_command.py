"""`tradesentry live NAME`: trade one strategy on one account from this terminal, until Ctrl-C or the end of a replay.

Makes what is missing (database, account, run) and becomes the account's agent, the same agent that runs in the
background elsewhere. A second instance finds the account taken and starts nothing.
"""

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from tradesentry.backtest.commands.request import (
    AccountRequest,
    ConfigOption,
    FromOption,
    JsonOption,
    SetOption,
    SymbolsOption,
    TimeframeOption,
    ToOption,
    takes_requests,
)
from tradesentry.backtest.commands.shell import INTERRUPTED
from tradesentry.backtest.commands.terminal import say
from tradesentry.bootstrap import Stores, look_at_oanda, notifier_of, open_stores
from tradesentry.bootstrap.venues import ENVIRONMENT_OF
from tradesentry.core.broker.account_settings import VenueSettings
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.errors import AccountMismatch, RiskHalt
from tradesentry.core.execution.journal_rows import Claim, LiveState
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_locks import LockSettings
from tradesentry.core.monitoring.metrics_collector import MetricsCollector
from tradesentry.core.utils.notifier import Notifier
from tradesentry.database.accounts import Accounts
from tradesentry.database.roles import AGENT, APP, RELAY
from tradesentry.database.server import Server, open_server
from tradesentry.database.session import driver_errors
from tradesentry.settings import Settings, load_settings
from tradesentry.workers.agent import Agent, AgentSettings
from tradesentry.workers.alerting import Alerting, delivered
from tradesentry.workers.console import LiveConsole, show_figures
from tradesentry.workers.default_command import RunsByDefault
from tradesentry.workers.lifeline import Slot, installation_id
from tradesentry.workers.live_plan import LivePlan, confirm, plan_of
from tradesentry.workers.monitors import watching
from tradesentry.workers.options import HomeOption
from tradesentry.workers.run_commands import flatten, halt, pause, rearm, resume, status, stop
from tradesentry.workers.session import AccountSession, SessionOptions

SHOW_SECONDS = 0.5


@dataclass(slots=True)
class LiveRun:
    """One `tradesentry live` while it runs."""

    plan: LivePlan
    account_id: UUID
    accounts: Accounts
    settings: Settings
    console: LiveConsole
    alerts: Alerting
    max_instants: int | None
    keep_entries: bool
    session: AccountSession | None = None
    metrics: MetricsCollector | None = None
    is_interrupted: bool = False
    last_state: LiveState | None = None

    @property
    def title(self) -> str:
        """What trades where."""
        return f"{self.plan.strategy.name} on {self.plan.broker}"

    async def trade(self, stores: Stores, home: Path) -> None:
        """Be the account's agent until it is told to stop or nothing is left to do."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, self._interrupt, number, stop)
        agent = Agent(
            stores.journal,
            stores.roster,
            lambda claim, fence: self._open(stores, claim, fence),
            SystemClock(),
            AgentSettings(
                installation_id(home), 0, name=f"live-{self.account_id.hex[:8]}", accounts=(self.account_id,),
                reclaims=True, keep_entries=self.keep_entries,
            ),
            alerts=self.alerts.direct,
            raises=True,
        )  # fmt: skip
        showing = asyncio.create_task(self._show())
        try:
            await agent.run(stop)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            self._show_now()

    def _interrupt(self, number: int, stop: asyncio.Event) -> None:
        if stop.is_set():
            # Asked twice: whoever insists is not made to wait. Stops stay at the venue.
            raise KeyboardInterrupt
        self.is_interrupted = number == signal.SIGINT
        say("stopping: no new decisions, entries are taken back, stops stay at the venue ...")
        self.accounts.command(self.account_id, "stopped", strategy=self.plan.strategy.name)
        stop.set()

    async def _open(self, stores: Stores, claim: Claim, fence: SelfFence) -> AccountSession:
        self.session = AccountSession(
            claim,
            fence,
            stores=stores,
            settings=self.settings,
            clock=SystemClock(),
            alerts=self.alerts,
            options=SessionOptions(self.max_instants, metrics=self.metrics),
        )
        return self.session

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(SHOW_SECONDS)
            self._show_now()

    def _show_now(self) -> None:
        status = None if self.session is None else self.session.status()
        if status is not None:
            self.last_state = status.state
            self.console.show(status)


def linked_plan(plan: LivePlan, settings: Settings) -> LivePlan:
    """Return the plan with what the venue says of its account, as it is linked.

    Args:
        plan: What was asked for.
        settings: Secrets.

    Raises:
        BrokerError: The venue refuses or cannot be read.
        AccountMismatch: The account is in another environment than the secrets say.
    """
    if plan.broker != "oanda" or not isinstance(plan.account, VenueSettings):
        return plan
    state = asyncio.run(look_at_oanda(settings, SystemClock()))
    if ENVIRONMENT_OF.get(state.environment) != plan.environment:
        raise AccountMismatch(
            f"OANDA shows a {state.environment} account and the plan is for {plan.environment}. Correct "
            "OANDA_ENVIRONMENT.",
            code="wrong_environment",
        )
    account = plan.account.model_copy(update={"currency": state.currency, "is_hedging": state.is_hedging})
    return replace(plan, account=account)


def run_plan(plan: LivePlan, *, home: Path | None, as_json: bool, once: bool, keep_entries: bool) -> int:
    """Trade a plan and return the exit code.

    Args:
        plan: Confirmed.
        home: Folder of the installation.
        as_json: One JSON document a line.
        once: End after the first decided instant.
        keep_entries: Resting entries stay at the venue at the end.

    Raises:
        TradeSentryError: The account cannot be traded; the message says why.
    """
    settings = load_settings()
    folder = (home or settings.home).absolute()
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    for line in plan.words():
        say(line)
    plan = linked_plan(plan, settings)
    with open_server(folder, database_url=url, bin_dir=settings.pg_bin) as server, driver_errors():
        server.initialize()
        accounts = Accounts(server.url(APP))
        account_id = accounts.link(
            broker=plan.broker, account_ref=plan.account_ref, environment=plan.environment,
            settings=plan.account_values(),
        )  # fmt: skip
        with Slot(folder, f"live-{account_id.hex[:12]}"):
            accounts.launch(
                account_id, strategy=plan.strategy.name, variant=plan.variant, config=plan.config_values(),
                code_digest=plan.code_digest, limits=plan.limit_values(),
            )  # fmt: skip
            return _run(plan, server, accounts, account_id, settings, folder, as_json, once, keep_entries)


def _run(
    plan: LivePlan,
    server: Server,
    accounts: Accounts,
    account_id: UUID,
    settings: Settings,
    folder: Path,
    as_json: bool,
    once: bool,
    keep_entries: bool,
) -> int:
    notifier = notifier_of(settings)
    title = f"{plan.strategy.name} on {plan.broker} {plan.account_ref}"
    with LiveConsole(title, as_json=as_json) as console:
        live = LiveRun(
            plan, account_id, accounts, settings, console, Alerting(notifier), 1 if once else None, keep_entries
        )
        try:
            asyncio.run(_with_stores(live, server, folder, notifier))
        finally:
            notifier.close()
            # Nobody is left to trade it; the agent that ends has no say in what its owner wants.
            with suppress(Exception):
                accounts.command(account_id, "stopped", strategy=plan.strategy.name)
    figures = None if live.session is None else live.session.figures
    if figures is not None:
        show_figures(figures, plan.account.currency, as_json=as_json)
    if live.last_state is LiveState.HALTED:
        raise RiskHalt(
            "The account is HALTED: entries were taken back, stops stay at the venue. `tradesentry live status` says "
            "why; a person re-arms it with `tradesentry live rearm ACCOUNT --confirm ACCOUNT`."
        )
    return INTERRUPTED if live.is_interrupted else 0


async def _with_stores(live: LiveRun, server: Server, folder: Path, notifier: Notifier) -> None:
    async with (
        open_stores(server.url(AGENT)) as stores,
        watching(
            SystemClock(), live.alerts.direct(), heartbeat_url=live.settings.heartbeat_url, name=live.title
        ) as monitors,
        delivered(server.url(RELAY), notifier, SystemClock(), settings=live.settings, metrics=monitors.metrics),
    ):
        live.metrics = monitors.metrics
        await live.trade(stores, folder)


app = typer.Typer(
    cls=RunsByDefault, no_args_is_help=True, rich_markup_mode=None,
    help="Trade a strategy live or on paper, and command what trades: `live NAME` is `live run NAME`.",
)  # fmt: skip
app.command("status")(status)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("stop")(stop)
app.command("flatten")(flatten)
app.command("halt")(halt)
app.command("rearm")(rearm)


@app.command("run")
@takes_requests
def live(
    name: Annotated[str, typer.Argument(help="Strategy; see `tradesentry apps list`.")],
    account: AccountRequest,
    broker: Annotated[str, typer.Option(help="paper, oanda or mt5.")] = "paper",
    account_ref: Annotated[str | None, typer.Option("--account", help="Account, as the venue names it.")] = None,
    symbols: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    set_: SetOption = None,
    config: ConfigOption = None,
    replay: Annotated[
        str | None,
        typer.Option("--replay", help="Trade known bars: source in the catalog, or synthetic[:variant[:seed]]."),
    ] = None,
    from_: FromOption = None,
    to: ToOption = None,
    speed: Annotated[
        float | None, typer.Option(help="Of a replay: 0 as fast as it goes, else multiples of the bars' time.")
    ] = None,
    catalog: Annotated[Path | None, typer.Option(help="Catalog folder.")] = None,
    variant: Annotated[str, typer.Option(help="Tells two configurations of one strategy apart.")] = "main",
    lock: Annotated[
        list[str] | None,
        typer.Option(
            "--lock", help=f"Pause after losses, key=value, repeatable: {', '.join(LockSettings.model_fields)}."
        ),
    ] = None,
    server_tz: Annotated[str | None, typer.Option(help="Time zone of a MetaTrader 5 server.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the next decided bar.")] = False,
    keep_entries: Annotated[bool, typer.Option("--keep-entries", help="Leave resting entries at the venue.")] = False,
    confirm_: Annotated[str | None, typer.Option("--confirm", help="The account, where it holds real money.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trade a strategy live or on paper until Ctrl-C, or replay known bars through the live machinery."""
    plan = plan_of(
        name, broker=broker, settings=load_settings(), account=account, account_ref=account_ref, symbols=symbols,
        timeframe=timeframe, set_=set_, config_path=config, replay=replay, from_=from_, to=to, speed=speed,
        catalog=catalog, variant=variant, run_id=f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}", server_tz=server_tz,
        locks=lock,
    )  # fmt: skip
    confirm(plan, confirm_)
    code = run_plan(plan, home=home, as_json=as_json, once=once, keep_entries=keep_entries)
    if code:
        raise typer.Exit(code)
