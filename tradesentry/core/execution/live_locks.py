"""Pause an instrument or a strategy after losses: losing streak, stop guard, low profit, cool-down. All off by default.

A lock is a pure function of the trades that closed, so it is the same after a restart. Those trades are kept as a saved
state of the run, written when one closes; what closed after the last save is read back from the journal. Separate from
the gates, which only ask whether a lock holds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal
from uuid import UUID

from pydantic import Field

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import StateMismatch
from tradesentry.core.domain.live_account import AccountChange, LiveTrade, TradeReduced
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.execution.gate_view import Lock
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import NS_PER_SECOND, Lease, SavedState
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.trade_file import trade_of_record
from tradesentry.core.utils.config_model import FrozenModel

MARKET: Final = "#locks"
"""Name under which a run's closed trades are saved."""
DIGEST: Final = "locks-1"
MAX_KEPT: Final = 512
MINUTE_NS: Final = 60 * NS_PER_SECOND
Scope = Literal["instrument", "app"]
LOCK_RULES: Final = ("streak_losses", "guard_stops", "profit_trades", "cool_down_minutes")
"""Settings of which each switches a rule on when it is above 0."""


class LockSettings(FrozenModel):
    """Rules that pause trading; 0 switches one off."""

    scope: Scope = Field("instrument", description="What a streak or stop guard locks.")
    lock_minutes: int = Field(240, ge=1, le=100_000, description="Length of a lock.")
    streak_losses: int = Field(0, ge=0, le=1_000, description="Losing trades in a row that lock.")
    guard_stops: int = Field(0, ge=0, le=1_000, description="Losing stop exits within the look-back that lock.")
    lookback_minutes: int = Field(1_440, ge=1, le=1_000_000, description="Look-back of stop guard and low profit.")
    profit_trades: int = Field(0, ge=0, le=1_000, description="Least trades before an instrument's profit is judged.")
    profit_floor_r: float = Field(0.0, ge=-1_000, le=1_000, description="Sum of R below which an instrument locks.")
    cool_down_minutes: int = Field(0, ge=0, le=100_000, description="Pause of an instrument after each exit.")

    @property
    def is_on(self) -> bool:
        """Whether any rule is switched on."""
        return any(getattr(self, name) > 0 for name in LOCK_RULES)


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """What a lock needs of a closed trade."""

    trade_ref: str
    symbol: str
    app: str
    exit_ns: int
    r: float
    """Net result in units of the initial risk."""
    is_stop: bool
    """Closed by its stop."""


def closed_trade(trade: LiveTrade, *, app: str) -> ClosedTrade | None:
    """Return a closed trade for the locks; None when its risk was never known."""
    if not trade.initial_risk:
        return None
    r = float(trade.net / trade.initial_risk)
    is_stop = "stop" in trade.exit_reason.lower()
    return ClosedTrade(trade.trade_ref, trade.symbol, app, trade.exit_ts_ns, r, is_stop)


def locks_of(closed: Iterable[ClosedTrade], settings: LockSettings, *, now_ns: int) -> tuple[Lock, ...]:
    """Return the locks that hold now, pure and whatever the order of the trades.

    Args:
        closed: Trades that closed.
        settings: The rules.
        now_ns: When, ns UTC.
    """
    trades = sorted((t for t in closed if t.exit_ns <= now_ns), key=lambda t: (t.exit_ns, t.trade_ref))
    locks = []
    for app in sorted({trade.app for trade in trades}):
        own = [trade for trade in trades if trade.app == app]
        by_symbol = {symbol: [t for t in own if t.symbol == symbol] for symbol in sorted({t.symbol for t in own})}
        scopes = by_symbol if settings.scope == "instrument" else {"": own}
        for symbol, some in scopes.items():
            locks += [_streak(some, settings, symbol, app), _stop_guard(some, settings, symbol, app)]
        for symbol, some in by_symbol.items():
            locks += [_low_profit(some, settings, symbol, app), _cool_down(some, settings, symbol, app)]
    return tuple(lock for lock in locks if lock is not None and lock.until_ns > now_ns)


def _until(trade: ClosedTrade, settings: LockSettings) -> int:
    return trade.exit_ns + settings.lock_minutes * MINUTE_NS


def _streak(some: Sequence[ClosedTrade], settings: LockSettings, symbol: str, app: str) -> Lock | None:
    last = some[-settings.streak_losses :]
    if not settings.streak_losses or len(last) < settings.streak_losses or any(trade.r >= 0 for trade in last):
        return None
    text = f"{app} lost {len(last)} times in a row{f' on {symbol}' if symbol else ''}."
    return Lock("losing_streak", _until(last[-1], settings), text, symbol, app)


def _stop_guard(some: Sequence[ClosedTrade], settings: LockSettings, symbol: str, app: str) -> Lock | None:
    stops = [trade for trade in some if trade.is_stop and trade.r < 0]
    last = stops[-settings.guard_stops :]
    if not settings.guard_stops or len(last) < settings.guard_stops:
        return None
    if last[-1].exit_ns - last[0].exit_ns > settings.lookback_minutes * MINUTE_NS:
        return None
    text = f"{app} was stopped out {len(last)} times within {settings.lookback_minutes} minutes."
    return Lock("stop_guard", _until(last[-1], settings), text, symbol, app)


def _low_profit(some: Sequence[ClosedTrade], settings: LockSettings, symbol: str, app: str) -> Lock | None:
    recent = [t for t in some if t.exit_ns > some[-1].exit_ns - settings.lookback_minutes * MINUTE_NS]
    total = sum(trade.r for trade in recent)
    if not settings.profit_trades or len(recent) < settings.profit_trades or total >= settings.profit_floor_r:
        return None
    text = f"{symbol} made {total:+.2f} R in {len(recent)} trades of {app}, below {settings.profit_floor_r:+.2f} R."
    return Lock("low_profit", _until(recent[-1], settings), text, symbol, app)


def _cool_down(some: Sequence[ClosedTrade], settings: LockSettings, symbol: str, app: str) -> Lock | None:
    if not settings.cool_down_minutes:
        return None
    until = some[-1].exit_ns + settings.cool_down_minutes * MINUTE_NS
    return Lock("cool_down", until, f"A trade of {app} on {symbol} has just closed.", symbol, app)


class LockKeeper:
    """The closed trades of one run, for its locks.

    Args:
        app: Name of the strategy.
        settings: The rules.
    """

    def __init__(self, app: str, settings: LockSettings | None = None) -> None:
        self._app, self._settings = app, settings or LockSettings()
        self._closed: dict[str, ClosedTrade] = {}

    @property
    def newest_ns(self) -> int:
        """When the newest trade that is kept closed, ns UTC; 0 before the first."""
        return max((trade.exit_ns for trade in self._closed.values()), default=0)

    def note(self, trade: LiveTrade) -> None:
        """Keep a trade that has closed; again is no harm."""
        closed = None if trade.is_open else closed_trade(trade, app=self._app)
        if closed is not None:
            self._closed[trade.trade_ref] = closed

    def locks(self, *, now_ns: int) -> tuple[Lock, ...]:
        """Return the locks that hold now."""
        return locks_of(self._closed.values(), self._settings, now_ns=now_ns)

    def saved(self, run_id: UUID, *, bar_close_ns: int) -> SavedState:
        """Return the newest trades as a state of the run."""
        newest = sorted(self._closed.values(), key=lambda trade: (trade.exit_ns, trade.trade_ref))[-MAX_KEPT:]
        text = json.dumps([asdict(trade) for trade in newest])
        return SavedState(run_id, MARKET, bar_close_ns, DIGEST, text.encode())

    def load(self, state: SavedState) -> None:
        """Go on from what `saved` wrote.

        Raises:
            StateMismatch: Written by another version.
        """
        if state.dtype_digest != DIGEST:
            raise StateMismatch(
                f"The saved locks of run {state.run_id} are of version {state.dtype_digest!r}, not {DIGEST!r}. Start "
                "the run with the version that wrote them, or delete that saved state."
            )
        self._closed |= {row["trade_ref"]: ClosedTrade(**row) for row in json.loads(state.snapshot)}


class LockBoard:
    """The locks of all runs of one account, kept up with its trades and saved as they close.

    Args:
        orders: The account's orders; their changes are listened to, their gates told.
        clock: Time.
        keepers: Of each run that has rules.
    """

    def __init__(self, orders: OrderManager, clock: Clock, keepers: Mapping[UUID, LockKeeper]) -> None:
        self._orders, self._clock, self._keepers = orders, clock, dict(keepers)

    async def begin(self, journal: Journal, lease: Lease) -> None:
        """Take up what was saved before this process, then follow the account; call it after recovery."""
        for run, keeper in self._keepers.items():
            state = await journal.read_state(lease, run, MARKET)
            if state is not None:
                keeper.load(state)
        if self._keepers:
            self._orders.listeners.append(self._hear)
            await self._take_up(journal, lease)
        self._refresh()

    async def _take_up(self, journal: Journal, lease: Lease) -> None:
        """Note what closed after the last save: a process may die between the two, and a stop needs no process."""
        since_ns = min(keeper.newest_ns for keeper in self._keepers.values())
        fills = [fill for fill in await journal.read_fills(lease) if fill.effect is Effect.REDUCE]
        refs = dict.fromkeys(fill.trade_ref for fill in reversed(fills) if fill.ts_ns >= since_ns)
        _, records = await journal.read_files(lease, [], sorted(list(refs)[:MAX_KEPT]))
        for trade in (trade_of_record(record).live() for record in records):
            if trade is not None:
                self._note(trade)

    def _note(self, trade: LiveTrade) -> UUID | None:
        """Keep a trade that closed; return its run when that has locks."""
        if trade.run is None or trade.run not in self._keepers:
            return None
        self._keepers[trade.run].note(trade)
        return trade.run

    def _hear(self, changes: Sequence[AccountChange]) -> None:
        """Take up trades that closed, tell the gates, and save."""
        closed = [c.trade for c in changes if isinstance(c, TradeReduced) and not c.trade.is_open]
        runs = {self._note(trade) for trade in closed}
        self._refresh()
        for run in filter(None, runs):
            self._orders.desk.spawn("save locks", self._save(run))

    async def _save(self, run: UUID) -> None:
        state = self._keepers[run].saved(run, bar_close_ns=self._clock.now_ns())
        await self._orders.submit([], run=run, bar_close_ns=0, states=[state])

    def _refresh(self) -> None:
        # The venue's clock may be ahead of ours: a trade that has just closed counts now, not when ours gets there.
        now_ns = max([self._clock.now_ns(), *(keeper.newest_ns for keeper in self._keepers.values())])
        locks = (lock for keeper in self._keepers.values() for lock in keeper.locks(now_ns=now_ns))
        self._orders.gates.locks = tuple(locks)
