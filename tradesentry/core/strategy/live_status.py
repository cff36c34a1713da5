"""How a live account stands, for consoles and dashboards: values, and wishes in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from tradesentry.core.domain.live_account import Enter, LiveOrder, LiveTrade, Wish
from tradesentry.core.execution.journal_rows import LiveState
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.strategy.decision_memory import DecisionMemory


@dataclass(frozen=True, slots=True)
class LastDecision:
    """What a strategy did with the last bar."""

    bar_close_ns: int
    wishes: tuple[str, ...]
    """In words."""
    refused: tuple[str, ...]
    """Codes of the kernels and of the live gates."""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One strategy on one market, for people."""

    run: UUID
    app: str
    symbol: str
    is_paused: bool
    n_bars: int
    last: LastDecision | None


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """An account, for people."""

    state: LiveState
    as_of_ns: int
    balance: Decimal
    equity: Decimal
    margin_used: Decimal
    drawdown: float
    """Fraction below the highest equity."""
    open_risk: float
    """Loss at all stops, fraction of equity."""
    trades: tuple[LiveTrade, ...]
    orders: tuple[LiveOrder, ...]
    """Those that are not terminal."""
    lanes: tuple[LaneStatus, ...]


def status_of(
    orders: OrderManager, memory: DecisionMemory, lanes: Sequence[LaneStatus], *, as_of_ns: int
) -> LiveStatus:
    """Return an account as its orders and its memory show it.

    Args:
        orders: Of the account.
        memory: In which it decides.
        lanes: Its strategies.
        as_of_ns: Close of the newest bar decided, ns UTC.
    """
    book, account = orders.book, memory.account[0]
    equity = float(account.equity)
    return LiveStatus(
        state=orders.state,
        as_of_ns=as_of_ns,
        balance=book.balance,
        equity=Decimal(str(equity)),
        margin_used=Decimal(str(float(account.margin_used))),
        drawdown=1.0 - equity / float(account.peak_equity),
        open_risk=memory.open_risk() / equity,
        trades=tuple(book.trades.values()),
        orders=tuple(order for order in book.orders.values() if not order.status.is_terminal),
        lanes=tuple(lanes),
    )


def in_words(wish: Wish) -> str:
    """Return what a strategy wants in a few words."""
    if isinstance(wish, Enter):
        what = f"{wish.type.name.lower()} {wish.side.name.lower()} {wish.units.normalize():f} {wish.symbol}"
        return f"{what} stop {wish.stop_loss:g}"
    return f"{type(wish).__name__.lower()} {getattr(wish, 'trade_ref', getattr(wish, 'seq', ''))}"
