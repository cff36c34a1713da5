"""Put the parts of a live account together: gates, orders, recovery, polls, and the strategies that its runs name.

A replay has no venue, so what guards against a venue is wide open there: limits of ours are the kernels' alone, and
nothing is paced. That is how it stays what the back-test is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Final
from uuid import UUID

from tradesentry.bootstrap.parts import OpenAccount, Stores
from tradesentry.core.domain.errors import ConfigError, TradeSentryError
from tradesentry.core.execution.account_limits import AccountLimits
from tradesentry.core.execution.account_limits import LimitSettings as LossSettings
from tradesentry.core.execution.error_budget import ErrorBudgetSettings
from tradesentry.core.execution.journal_outage import JournalOutage
from tradesentry.core.execution.journal_rows import Claim
from tradesentry.core.execution.lease import MAX_SEND_SECONDS, SelfFence
from tradesentry.core.execution.live_exposure import BookLimits
from tradesentry.core.execution.live_gates import GateSettings, LiveGates
from tradesentry.core.execution.live_locks import LockKeeper, LockSettings
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.order_requests import OrderSettings
from tradesentry.core.execution.polls import Polls, PollSettings
from tradesentry.core.execution.recovery import Recovery
from tradesentry.core.execution.setup import LimitSettings
from tradesentry.core.execution.venue_look import AccountLink
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.live_memory import LiveRunSpec
from tradesentry.core.strategy.orchestrator import AsyncOrchestrator
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.core.utils.config_loader import load_config
from tradesentry.database.repositories.runs import RunRecord

NO_LOSS_LIMITS: Final = LossSettings(
    daily_loss=Decimal(1), drawdown_warn=Decimal(1), drawdown_reduce=Decimal(1), drawdown_halt=Decimal(1),
    equity_unknown_seconds=3_600.0,
)  # fmt: skip
NO_BOOK_LIMITS: Final = BookLimits(
    max_currency_net=Decimal(100), max_currency_gross=Decimal(500), max_leverage=Decimal(500),
    max_open_risk=Decimal(1), max_app_risk=Decimal(1),
)  # fmt: skip
NO_BUDGET: Final = ErrorBudgetSettings(max_refused=10_000, max_unknown=10_000, max_stream_losses=10_000)
UNPACED: Final = OrderSettings(min_step_pips=0.0, min_interval_seconds=0.0, max_refusals=100, max_exit_attempts=100)
OPEN_GATES: Final = GateSettings(
    max_quote_age_seconds=300.0, max_drift_pips=1_000.0, max_entries_per_minute=100_000, max_changes_per_minute=100_000
)
RARE: Final = PollSettings(
    in_flight_seconds=60.0, heartbeat_seconds=60.0, orders_seconds=600.0, trades_seconds=600.0, guards_seconds=3_600.0
)
PACED: Final = RARE.model_copy(update={"heartbeat_seconds": 1.0})
"""Somebody may be watching: the equity curve has about a point a bar."""
LOCKS: Final = "locks"
"""Key of a run's limits under which its rules for pauses stand."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What trades an account besides its strategies."""

    gates: LiveGates
    orders: OrderManager
    recovery: Recovery
    polls: Polls


async def desk_of(
    account: OpenAccount,
    claim: Claim,
    fence: SelfFence,
    stores: Stores,
    *,
    account_ref: str,
    alert: Callable[[str, str], None],
    tell: Callable[[str, str], None] | None = None,
) -> Desk:
    """Return the desk of an account that was just opened.

    Args:
        account: Its parts.
        claim: Of it.
        fence: On its lease.
        stores: The database.
        account_ref: As the venue names it.
        alert: Tells people directly (code, text).
        tell: Shows what is in the outbox as well, from where it is delivered; `alert` when None.

    Raises:
        ConfigError: The database could lose a confirmed commit, and money is at stake.
        BrokerError: The venue cannot be read.
    """
    if account.environment != "paper":
        await refuse_unsafe_database(stores)
    gates = _gates_of(account, alert)
    orders = OrderManager(
        account.broker, stores.journal, claim.lease, fence, account.clock,
        instruments=await account.broker.instruments(), gates=gates,
        settings=UNPACED if account.is_replay else OrderSettings(), alert=tell or alert,
    )  # fmt: skip
    account.late.sink = orders.on_late
    losses = NO_LOSS_LIMITS if account.is_replay else loss_limits(account.setup.limits)
    recovery = Recovery(
        account.broker, orders, account.clock,
        link=AccountLink(account_ref, account.environment, account.setup.currency, None),
        outage=JournalOutage(stores.journal, claim.lease, fence, account.clock, watch=gates.watch, alert=alert),
        limits=AccountLimits(account.clock, losses, budget=gates.budget),
        alert=alert,
        wait_seconds=claim.wait_seconds(MAX_SEND_SECONDS),
    )  # fmt: skip
    polls = Polls(account.broker, orders, recovery, account.clock, _poll_settings(account))
    return Desk(gates, orders, recovery, polls)


def _poll_settings(account: OpenAccount) -> PollSettings:
    if not account.is_replay:
        return PollSettings()
    return PACED if account.is_paced else RARE


def _gates_of(account: OpenAccount, alert: Callable[[str, str], None]) -> LiveGates:
    if account.is_replay:
        return LiveGates(OPEN_GATES, limits=NO_BOOK_LIMITS, budget=NO_BUDGET, alert=alert)
    return LiveGates(GateSettings(), limits=book_limits(account.setup.limits), alert=alert)


async def refuse_unsafe_database(stores: Stores) -> None:
    """Refuse to trade money on a database that may forget what it confirmed.

    Raises:
        ConfigError: `fsync` or `full_page_writes` is off.
    """
    found = await stores.journal.durability()
    if not found.is_safe:
        raise ConfigError(
            f"The database runs with fsync {'on' if found.fsync else 'off'} and full_page_writes "
            f"{'on' if found.full_page_writes else 'off'}: after a crash it may have forgotten orders that it "
            "confirmed. Turn both on, or trade on paper.",
            code="unsafe_database",
        )


def book_limits(limits: LimitSettings) -> BookLimits:
    """Return the limits of the book that a profile stands for; all open when it is off."""
    if not limits.is_on:
        return NO_BOOK_LIMITS
    return BookLimits(
        max_currency_net=Decimal(str(limits.max_currency_net)),
        max_currency_gross=Decimal(str(limits.max_currency_gross)),
        max_leverage=Decimal(str(limits.max_leverage)),
        max_open_risk=Decimal(str(limits.max_open_risk)),
        max_app_risk=Decimal(str(limits.max_app_risk)),
    )


def loss_limits(limits: LimitSettings) -> LossSettings:
    """Return the limits of losses that a profile stands for; all open when it is off."""
    if not limits.is_on:
        return NO_LOSS_LIMITS
    names = ("daily_loss", "drawdown_warn", "drawdown_reduce", "drawdown_halt")
    values = {name: Decimal(str(getattr(limits, name))) for name in names}
    values["drawdown_warn"] = min(values["drawdown_warn"], values["drawdown_reduce"])
    return LossSettings.model_validate(values)


def specs_of(records: Sequence[RunRecord]) -> tuple[list[LiveRunSpec], list[tuple[RunRecord, TradeSentryError]]]:
    """Return the runs that can be traded, and why others cannot.

    Args:
        records: Runs of one account.
    """
    specs, refused = [], []
    for record in records:
        try:
            chosen = strategy(record.strategy)
            config = load_config(chosen.Config, file_values=dict(record.config)).value
            lock_settings(record)
        except TradeSentryError as error:
            refused.append((record, error))
        else:
            specs.append(LiveRunSpec(record.run_id, chosen, config, record.variant))
    return specs, refused


def lock_settings(record: RunRecord) -> LockSettings | None:
    """Return the rules that pause a run after losses; None when it has none.

    Args:
        record: The run; its limits hold the rules under `locks`.

    Raises:
        ConfigError: A rule is unknown or out of bounds.
    """
    locks = record.limits.get(LOCKS)
    return None if not locks else load_config(LockSettings, file_values=dict(locks)).value


def keepers_of(records: Sequence[RunRecord]) -> dict[UUID, LockKeeper]:
    """Return what keeps the closed trades of each run that has locks.

    Args:
        records: Runs of one account that can be traded.
    """
    found = ((record, lock_settings(record)) for record in records)
    return {record.run_id: LockKeeper(record.strategy, rules) for record, rules in found if rules is not None}


def orchestrator_of(chosen: type[BaseStrategy]) -> type[AsyncOrchestrator]:
    """Return the orchestrator of a strategy: its app's own, where it has one.

    Args:
        chosen: The strategy.
    """
    name = f"{chosen.__module__.rpartition('.')[0]}.orchestrator"
    try:
        has_own = find_spec(name) is not None
    except ModuleNotFoundError:
        has_own = False
    if not has_own:
        return AsyncOrchestrator
    own = [
        item
        for item in vars(import_module(name)).values()
        if isinstance(item, type) and issubclass(item, AsyncOrchestrator) and item.__module__ == name
    ]
    return own[0] if own else AsyncOrchestrator
