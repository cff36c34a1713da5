"""The component `grid`: levels rest as limit orders with one stop, and `settle` fills them.

There is no second fill code: the book of this component is an ordinary BOOK, so a level, stop or target is filled here
exactly as in a back-test. The levels rest before the first bar. On one bar:

1. `settle` plays it: what was held may be stopped or reach its target at the open, levels fill (shallowest first, at
   their price or at an open beyond it), then the stop, and the target only if the bar filled nothing new;
2. what happened is told in that order: FILL with the average so far, BASKET_STOP or BASKET_TARGET with the profit;
3. positions already open move to the target of the deepest level filled. It is known in advance, because levels fill
   shallowest first: order i carries the average of the first i levels plus `tp`;
4. when the basket has ended, the levels that are left are cancelled and none is ever filled again.

A basket that leaves at the open of a bar whose prices then reach further levels leaves units behind, as it would in
any account; they keep their stop and target and count as the next basket.
"""

from typing import Any, Final, Self

import numpy as np
from pydantic import Field, model_validator

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.domain.orders import ExitReason, OrderType, Status
from tradesentry.core.domain.records import ACCOUNT, BOOK, MARKET, QUOTE, REJECT, TRADE
from tradesentry.core.domain.run_records import DESK
from tradesentry.core.execution.book import add_order
from tradesentry.core.execution.desk import market_at, quote_at, trade_at
from tradesentry.core.execution.settle import settle
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import grid
from tradesentry.core.strategy.indicators.hygiene import steps_per_unit
from tradesentry.core.utils.kernel import address_of, kernel, new_records

_COMPONENT: Final = int(ev.Component.GRID)
_FILL: Final = int(ev.EventCode.FILL)
_BASKET_STOP: Final = int(ev.EventCode.BASKET_STOP)
_BASKET_TARGET: Final = int(ev.EventCode.BASKET_TARGET)
_LIMIT: Final = int(OrderType.LIMIT)
_TAKE_PROFIT: Final = int(ExitReason.TAKE_PROFIT)
_OK: Final = int(Status.OK)
_BASKET: Final = 1
_N_ROWS: Final = 4 * grid.N_LEVELS


class GridParams(ParamsModel):
    """A grid of one side that rests from the start."""

    side: int = Field(1, ge=-1, le=1, description="1 buys below price, -1 sells above it.")
    levels: tuple[float, ...] = Field(description="Prices of the levels, shallowest first.")
    units: tuple[float, ...] = Field(description="Units at each level.")
    stop: float = Field(gt=0, description="Hard stop of the whole basket, beyond the deepest level.")
    tp: float = Field(gt=0, description="Distance of the target from the average price, price units.")

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        try:
            grid.check_levels(self.levels, self.stop, self.side)
        except UsageError as error:
            raise ValueError(str(error)) from error
        if len(self.units) != len(self.levels) or min(self.units) <= 0:
            raise ValueError(
                f"{len(self.levels)} levels have the units {self.units}; give one positive number for each"
            )
        return self


MARKET_FIELDS: Final[tuple[tuple[str, Any], ...]] = (
    ("n_levels", "i8"),
    ("prices", ("f8", (grid.N_LEVELS,))),
    ("amounts", ("f8", (grid.N_LEVELS,))),
    ("desk", DESK),
)
"""Fields of the parameter record behind the configured ones: the levels, and where the memory of `settle` lies."""

PARAMS = params_dtype(GridParams, list(MARKET_FIELDS))
STATE = np.dtype(
    [
        ("n", "i8"),  # bars seen
        ("is_done", "b1"),  # nothing is held and nothing rests any more
        ("id", "i8"),  # of the present basket, from 1
        ("n_filled", "i8"),  # levels filled so far
        ("units", "f8"),  # of the present basket
        ("cost", "f8"),  # sum of units x fill price
        ("book", BOOK),
        ("account", ACCOUNT),
    ],
    align=True,
)


def fill_market(params: GridParams, record: Any, tick: float) -> Any:
    """Write the levels and a market without costs into a parameter record.

    Args:
        params: The grid.
        record: PARAMS record.
        tick: Smallest price step, 0 for none; levels, like bars, are rounded to it.

    Returns:
        The memory that the record points to; the caller keeps it as long as the record.
    """
    n = len(params.levels)
    prices = np.array(params.levels)
    record.n_levels = n
    record["prices"][:n] = np.rint(prices * steps_per_unit(tick)) / steps_per_unit(tick) if tick > 0.0 else prices
    record["amounts"][:n] = params.units
    market, quote = new_records(1, MARKET), new_records(1, QUOTE)
    market.tick, market.fixed_rate, market.cross_index = tick, 1.0, -1
    market.unit_step, market.cost_scale, market.spread_mult = 1.0, 1.0, 1.0
    trades, rejects = new_records(_N_ROWS, TRADE), new_records(_N_ROWS, REJECT)
    desk = record["desk"]
    desk["markets"], desk["quotes"] = address_of(market), address_of(quote)
    desk["trades"], desk["rejects"] = address_of(trades), address_of(rejects)
    return market, quote, trades, rejects


@kernel
def reset(state: Any) -> None:
    """Forget everything; the levels rest again before the next bar."""
    state.n = 0
    state.is_done = False
    state.id = 0
    state.n_filled = 0
    state.units = 0.0
    state.cost = 0.0
    state.book.seen.n_positions = 0
    state.book.seen.n_orders = 0
    state.book.seen.bar_index = 0
    state.book.settled = 0
    state.account.next_id = 0


@kernel
def bars_needed(_params: Any) -> int:
    """Return 0: the levels rest before the first bar."""
    return 0


@kernel
def is_ready(_params: Any, _state: Any) -> bool:
    """Return True: the levels rest before the first bar."""
    return True


@kernel
def _target(params: Any, n_filled: int) -> float:
    """Return the target that the order of level `n_filled` carries."""
    average = grid.average_price(params.prices, params.amounts, n_filled)
    return grid.target_price(average, params.side, params.tp, 0.0, 0.0, 1.0, 1.0)


@kernel
def _rest(params: Any, state: Any, bar: Any) -> int:
    """Rest every level as a limit order."""
    book = state.book
    intent = book.queue[0]
    for i in range(params.n_levels):
        intent.side = params.side
        intent.type = _LIMIT
        intent.price = params.prices[i]
        intent.units = params.amounts[i]
        intent.stop_loss = params.stop
        intent.take_profit = _target(params, i + 1)
        intent.basket = _BASKET
        intent.tag = i + 1
        status = add_order(book, state.account, intent, bar.open_ns)
        if status != _OK:
            return status
    state.id = 1
    return _OK


@kernel
def _new_event(params: Any, state: Any, code: int, bar: Any, events: Any) -> int:
    position = ev.new_event(events, _COMPONENT, code, params.side, state.id)
    item = events.items[position]
    item.origin_index = events.bar_index
    item.origin_ns = bar.open_ns
    item.other_price = state.cost / state.units
    return position


@kernel
def _tell_fill(params: Any, state: Any, ticket: Any, units: float, bar: Any, events: Any) -> None:
    """Emit FILL of a position, or of the trade that it has already become; its tag is the level."""
    state.units += units
    state.cost += units * ticket.entry_price
    state.n_filled = max(state.n_filled, ticket.tag)
    item = events.items[_new_event(params, state, _FILL, bar, events)]
    item.price = ticket.entry_price
    item.other_index = ticket.tag
    item.value = units


@kernel
def _tell_fills(params: Any, state: Any, last_id: int, bar: Any, events: Any) -> None:
    """Emit FILL of everything opened on this bar, in the order of the fills: ids above `last_id`."""
    seen = state.book.seen
    account = state.account
    for fill_id in range(last_id + 1, account.next_id + 1):
        for i in range(seen.n_positions):
            if seen.positions[i].id == fill_id:
                _tell_fill(params, state, seen.positions[i], seen.positions[i].initial_units, bar, events)
        for i in range(account.n_trades):
            trade = trade_at(params.desk.trades, i)
            if trade.id == fill_id:
                _tell_fill(params, state, trade, trade.units, bar, events)


@kernel
def _tell_end(params: Any, state: Any, first: int, last: int, bar: Any, events: Any) -> None:
    """Emit the end of a basket: the trades in rows `first` to before `last`, all closed together."""
    if first == last:
        return
    profit = 0.0
    units = 0.0
    value = 0.0
    is_one_price = True
    price = trade_at(params.desk.trades, first).exit_price
    for i in range(first, last):
        trade = trade_at(params.desk.trades, i)
        profit += trade.gross
        units += trade.units
        value += trade.units * trade.exit_price
        is_one_price = is_one_price and trade.exit_price == price
    is_target = trade_at(params.desk.trades, first).exit_reason == _TAKE_PROFIT
    item = events.items[_new_event(params, state, _BASKET_TARGET if is_target else _BASKET_STOP, bar, events)]
    item.price = price if is_one_price else value / units
    item.value = profit
    state.id += 1
    state.units = 0.0
    state.cost = 0.0


@kernel
def _play(params: Any, state: Any, bar: Any) -> int:
    """Settle the bar; its trades are rows 0 to before `account.n_trades`."""
    book = state.book
    quote = quote_at(params.desk.quotes, 0)
    quote.spread = bar.spread
    quote.bid = bar.close
    quote.ask = bar.close + bar.spread
    book.seen.bar_index += 1
    state.account.n_trades = 0
    state.account.n_rejects = 0
    return settle(market_at(params.desk.markets, 0), params.desk, book, state.account, bar, 0, 0, 0)


@kernel
def update(params: Any, state: Any, bar: Any, events: Any) -> int:
    """Take one closed bar.

    Args:
        params: PARAMS record, completed by `fill_market`.
        state: STATE record.
        bar: Closed bar.
        events: Buffer.

    Returns:
        Status.OK, Status.FULL_EVENTS, or a status of `settle`.
    """
    if state.n == 0:
        status = _rest(params, state, bar)
        if status != _OK:
            return status
    state.n += 1
    if state.is_done:
        return _OK
    last_id = state.account.next_id
    status = _play(params, state, bar)
    if status != _OK:
        return status
    n_trades = state.account.n_trades
    n_at_open = 0
    while n_at_open < n_trades:
        trade = trade_at(params.desk.trades, n_at_open)
        if trade.id > last_id or trade.exit_ns != bar.open_ns:
            break
        n_at_open += 1
    _tell_end(params, state, 0, n_at_open, bar, events)
    _tell_fills(params, state, last_id, bar, events)
    _tell_end(params, state, n_at_open, n_trades, bar, events)
    seen = state.book.seen
    for i in range(seen.n_positions):
        seen.positions[i].take_profit = _target(params, state.n_filled)
    if n_trades > 0:
        seen.n_orders = 0
        state.is_done = seen.n_positions == 0
    return ev.status(events)
