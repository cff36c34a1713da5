"""What the slow engine keeps: orders, positions, closed trades, as plain dataclasses."""

from dataclasses import dataclass
from types import SimpleNamespace

from tradesentry.core.domain.orders import ExitReason


@dataclass
class Order:
    """A resting entry."""

    id: int
    placed_ns: int
    side: int
    type: int
    price: float
    units: float
    stop_loss: float
    take_profit: float
    expiry_ns: int
    basket: int
    group: int
    skip_if_both: bool
    tag: int
    risk_money: float
    exits: SimpleNamespace


@dataclass
class Position:
    """An open position and what it has cost so far."""

    id: int
    side: int
    units: float
    entry_price: float
    entry_ns: int
    entry_bar: int
    week_end_ns: int
    stop_loss: float
    take_profit: float
    basket: int
    tag: int
    exits: SimpleNamespace
    piece: int
    """Number of the (finer) bar that opened it."""
    is_inside: bool
    """Opened after the open of the execution bar, so the bar's extremes may lie before it."""
    number: int
    """Among the entries of the book at that time."""
    n_exits: int = 0
    initial_units: float = 0.0
    initial_stop: float = 0.0
    stop_reason: ExitReason = ExitReason.STOP_LOSS
    risk_money: float = 0.0
    mae: float = 0.0
    mfe: float = 0.0
    swap: float = 0.0
    commission: float = 0.0
    slippage: float = 0.0
    spread_cost: float = 0.0
    realized: float = 0.0
    exit_value: float = 0.0
    steps_taken: int = 0

    @property
    def distance(self):
        return abs(self.entry_price - self.initial_stop)


@dataclass
class Trade:
    """A closed round trip."""

    market: int
    variant: int
    id: int
    side: int
    units: float
    entry_ns: int
    exit_ns: int
    entry_price: float
    exit_price: float
    stop_at_entry: float
    gross: float
    commission: float
    swap: float
    slippage: float
    spread_cost: float
    net: float
    r_multiple: float
    mae_r: float
    mfe_r: float
    bars_held: int
    exit_reason: ExitReason
    basket: int
    tag: int
