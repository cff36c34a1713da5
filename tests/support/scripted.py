"""A strategy that plays back a table of intents by bar, so that any engine can be given exactly the same intents.

The table lies in the parameter record, what the strategy saw on each bar in its state record. A `target_id` below zero
means "the n-th position, then order, that you hold now", because ids are not known when a script is written.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tests.support.markets import new_account, rules_of
from tradesentry.backtest.arena import Arena, Lane
from tradesentry.core.domain.orders import Action, OrderType, SizeRule
from tradesentry.core.domain.records import ACCOUNT, INTENT
from tradesentry.core.execution.decide import ANY_STEP, step_signature
from tradesentry.core.utils.kernel import (
    copy_record,
    function_pointer,
    kernel,
    load_records,
    new_records,
    save_records,
)

N_ROWS = 256
"""Intents of one script."""
N_SEEN = 512
"""Bars whose view is kept."""
PARAMS = np.dtype([("n_rows", "i8"), ("at", "i8", (N_ROWS,)), ("rows", INTENT, (N_ROWS,))], align=True)
SEEN = np.dtype(
    [
        ("equity", "f8"),
        ("balance", "f8"),
        ("price_unit_value", "f8"),
        ("last_spread", "f8"),
        ("n_positions", "i8"),
        ("n_orders", "i8"),
        ("units", "f8"),
        ("stops", "f8"),
        ("is_blocked", "b1"),
        ("trading_state", "i8"),
    ],
    align=True,
)
STATE = np.dtype([("n_bars", "i8"), ("next_row", "i8"), ("seen", SEEN, (N_SEEN,))], align=True)


@kernel
def _look(row, view):
    row.equity = view.equity
    row.balance = view.balance
    row.price_unit_value = view.price_unit_value
    row.last_spread = view.last_spread
    row.n_positions = view.n_positions
    row.n_orders = view.n_orders
    row.is_blocked = view.is_blocked
    row.trading_state = view.trading_state
    row.units = 0.0
    row.stops = 0.0
    for i in range(view.n_positions):
        row.units += view.positions[i].side * view.positions[i].units
        row.stops += view.positions[i].stop_loss


@kernel
def _resolve(view, number):
    n = view.n_positions + view.n_orders
    if n == 0:
        return 999_999
    i = (-number - 1) % n
    return view.positions[i].id if i < view.n_positions else view.orders[i - view.n_positions].id


@kernel
def step(params, state, bar, view, intents):
    """Write the intents that the script has for this bar."""
    if state.n_bars < state.seen.shape[0]:
        _look(state.seen[state.n_bars], view)
    n = 0
    while state.next_row < params.n_rows and params.at[state.next_row] <= state.n_bars:
        copy_record(intents[n], params.rows[state.next_row])
        if intents[n].target_id < 0:
            intents[n].target_id = _resolve(view, intents[n].target_id)
        state.next_row += 1
        n += 1
    state.n_bars += 1
    return n


@cache
def pointer():
    """Return the scripted strategy as the engine calls it; compiled once."""
    return function_pointer(step, exact=step_signature(PARAMS, STATE), general=ANY_STEP)


def intent(at, action, **fields):
    """Return one line of a script: `(bar, INTENT)` with the named fields and exits set, prices that are not set NaN."""
    row = np.zeros(1, INTENT)
    row["action"] = action
    for name in ("price", "stop_loss", "take_profit", "signal_price"):
        row[name] = np.nan
    for name, value in fields.items():
        target = row["exits"] if name in row["exits"].dtype.names else row
        target[name] = value
    return at, row


def enter(at, side, stop, target=np.nan, *, risk=None, **fields):
    """Ask for an entry at the close of bar `at`: 10,000 units at market unless `fields` say otherwise."""
    rule, size = (SizeRule.UNITS, fields.pop("units", 10_000.0)) if risk is None else (SizeRule.RISK, risk)
    fields = {"size_rule": rule, "size": size, "stop_loss": stop, "take_profit": target} | fields
    return intent(at, Action.ENTER, side=side, **fields)


def limit(at, side, price, stop, target=np.nan, **fields):
    """Ask for a limit entry."""
    return enter(at, side, stop, target, price=price, type=OrderType.LIMIT, **fields)


def stop_order(at, side, price, stop, target=np.nan, **fields):
    """Ask for a stop entry."""
    return enter(at, side, stop, target, price=price, type=OrderType.STOP, **fields)


def close(at, remaining=0.0, **fields):
    """Ask to reduce positions."""
    return intent(at, Action.CLOSE, size=remaining, **fields)


def cancel(at, **fields):
    """Ask to cancel orders."""
    return intent(at, Action.CANCEL, **fields)


def modify(at, stop=np.nan, target=np.nan, **fields):
    """Ask to move stops and targets."""
    return intent(at, Action.MODIFY, stop_loss=stop, take_profit=target, **fields)


@dataclass
class Player:
    """One scripted strategy on one market."""

    script: list[tuple[int, np.ndarray[Any, Any]]]
    market: int = 0
    rules: Any = None
    variant: int = 0
    app: int = 0

    def lane(self):
        params = new_records(1, PARAMS)
        rows = sorted(self.script, key=lambda line: line[0])
        params["n_rows"] = len(rows)
        for i, (at, row) in enumerate(rows):
            params["at"][0, i] = at
            params.view(np.ndarray)["rows"][0, i] = row[0]
        rules = rules_of() if self.rules is None else self.rules
        return Lane(self.market, params, new_records(1, STATE), rules, variant=self.variant, app=self.app)


@dataclass
class Scenario:
    """Everything that a run is made of; both engines are built from it."""

    markets: Any
    bars: list[np.ndarray[Any, Any]]
    players: list[Player]
    account: Any = field(default_factory=new_account)
    fine: list[np.ndarray[Any, Any]] | None = None

    def arena(self):
        """Return the compiled engine before its first bar."""
        lanes = [player.lane() for player in self.players]
        account = load_records(save_records(self.account), ACCOUNT)  # a plain copy leaves the padding to chance
        return Arena(pointer(), markets=self.markets, bars=self.bars, lanes=lanes, account=account, fine=self.fine)


def play(market, bars, script, *, account=None, rules=None, fine=None):
    """Play one script on one market and return the arena at the end of the data."""
    scenario = Scenario(market, [bars], [Player(list(script), rules=rules)], fine=None if fine is None else [fine])
    if account is not None:
        scenario.account = account
    arena = scenario.arena()
    arena.run()
    return arena


def only_trade(arena):
    """Return the one trade of a run."""
    assert len(arena.trade_rows) == 1, f"{len(arena.trade_rows)} trades, rejects {arena.reject_rows.code.tolist()}"
    return arena.trade_rows[0]


def rejects(arena):
    """Return the reject codes of a run, in order."""
    return arena.reject_rows.code.tolist()
