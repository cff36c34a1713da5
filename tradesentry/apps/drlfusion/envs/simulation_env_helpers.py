"""Play many accounts side by side, one bar a call: what `SimulationEnv` does in compiled code.

No fill, cost or limit is computed here. A step of one environment is the engine's bar, in its order: the strategy of
the lane turns the given target into intents (`shape_target`, `emit_target`) and `execute` vets them; the next bar is
observed, the book settled, the account marked. Then come what training adds: the reward, the end of the episode, the
observation. An environment is one slot, one desk, one account and one book; all of them share the rows of bars.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.envs.episodes import begin, begin_anywhere, row_at, show_cross
from tradesentry.apps.drlfusion.envs.features import FEATURE, feature_at
from tradesentry.apps.drlfusion.envs.rewards import reward_of
from tradesentry.apps.drlfusion.helpers import N_FEATURES, N_OWN, emit_target, observe_own, shape_target
from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import ACCOUNT, BAR, BOOK, QUOTE
from tradesentry.core.execution.account import roll_account_day, roll_book_day, update_account
from tradesentry.core.execution.costs import conversion_rates
from tradesentry.core.execution.decide import call_strategy, failure, show
from tradesentry.core.execution.desk import bar_at, book_at, lane_at, market_at, quote_at, trade_at
from tradesentry.core.execution.driver import execute_best
from tradesentry.core.execution.quiet import carry, is_quiet, value
from tradesentry.core.execution.quotes import observe
from tradesentry.core.execution.settle import settle
from tradesentry.core.utils.kernel import copy_record, inline_kernel, kernel, prefetch

OK: Final = int(Status.OK)
RUIN: Final = 0.5
"""Drawdown that ends an episode."""
BAR_BYTES: Final = BAR.itemsize
FEATURE_BYTES: Final = FEATURE.itemsize
ACCOUNT_BYTES: Final = ACCOUNT.itemsize
BOOK_BYTES: Final = BOOK.itemsize
QUOTE_BYTES: Final = QUOTE.itemsize
LINE_BYTES: Final = 64
AHEAD: Final = 2
"""Environments that are fetched ahead, about the time memory takes."""


def _lines(record: np.dtype[Any], *names: str) -> npt.NDArray[np.int64]:
    """Return the offsets of the cache lines that hold fields of a record, dots for nested ones."""
    found: set[int] = set()
    for name in names:
        kind: Any = record
        offset = 0
        for part in name.split("."):
            # Of an array of records, such as the positions, the first one.
            kind, start = kind.base.fields[part][:2]
            offset += start
        found.update(range(offset // LINE_BYTES, (offset + kind.itemsize - 1) // LINE_BYTES + 1))
    return LINE_BYTES * np.array(sorted(found), np.int64)


ACCOUNT_LINES: Final = _lines(ACCOUNT, "balance", "day_start_equity", "drawdown", "n_trades", "limits", "last_ns")
BOOK_LINES: Final = _lines(
    BOOK,
    "market",
    "rules",
    "n_queue",
    "unrealized",
    "quiet_until_ns",
    "quiet_high_ask",
    "seen.tick",
    "seen.price_unit_value",
    "seen.clock.fx_day",
    "seen.clock.n_moves",
    "seen.n_positions",
    "seen.positions.units",
    "seen.positions.stop_loss",
    "seen.positions.mae",
    "seen.positions.exits.be_trigger_r",
)
QUOTE_LINES: Final = _lines(QUOTE, "bid", "n_bars", "prev_close", "recent_at", "cursor.next_ns", "clock.n_moves")


@kernel
def apply_action(params: Any, state: Any, _bar: Any, view: Any, intents: Any) -> int:
    """Take the target of the action for the wish of the vote: the `step` of a lane that an environment plays.

    Args:
        params: PARAMS of the app.
        state: ACTION; its target is read.
        _bar: BAR, closed; its row has it on the tick grid.
        view: VIEW of this market.
        intents: INTENT array.

    Returns:
        The number of intents.
    """
    row = feature_at(state.features, state.at)
    state.level = state.holding.held
    if not row.is_good:
        return 0
    holding = state.holding
    state.level = shape_target(params, holding, row.bar, view, state.target, row.turbulence, row.volatility)
    return int(emit_target(params, holding, row.bar, view, row.atr, state.level, intents))


@inline_kernel
def _normalize(params: Any, market: Any, raw: Any, observation: Any) -> None:
    """Write the observation as `normalize` does, without gathering it first.

    The loop ends at a length that only the run knows: a known one would be unrolled, which takes three times as long.
    """
    mean, scale = params.obs_mean, params.obs_scale
    n_market = observation.shape[0] - N_OWN
    for i in range(n_market):
        observation[i] = (market[i] - mean[i]) / scale[i]
    for i in range(n_market, observation.shape[0]):
        observation[i] = (raw[i] - mean[i]) / scale[i]


@kernel
def _observe(params: Any, template: Any, slot: Any, desk: Any, account: Any, state: Any, observation: Any) -> None:
    """Show the present bar to the strategy and write the observation."""
    row = row_at(template.rows, slot.row)
    book = book_at(desk.books, 0)
    features = feature_at(row.features, slot.at)
    show(market_at(desk.markets, 0), desk, book, account, bar_at(row.bars, slot.at).close_ns)
    if features.is_good:
        observe_own(params, state.holding, features.bar, book.seen, state.raw)
    _normalize(params, features.market, state.raw, observation)
    slot.held = state.holding.held


@inline_kernel
def _settle(market: Any, desk: Any, book: Any, account: Any, quote: Any, bar: Any) -> int:
    """Settle the book on the bar that its quote has been shown, as the engine does. Return a Status."""
    seen = book.seen
    if seen.clock.n_moves != quote.clock.n_moves:
        if quote.clock.fx_day != seen.clock.fx_day:
            roll_book_day(market, desk, book, account, quote.clock.fx_day)
        copy_record(seen.clock, quote.clock)
    seen.bar_index += 1
    spread = quote.spread * market.cost_scale
    if not is_quiet(book, bar, spread):
        return settle(market, desk, book, account, bar, 0, 0, 0)
    book.settled += 1
    if seen.n_positions > 0:
        gain, loss = conversion_rates(market, desk, bar.close, bar.close + spread)
        carry(seen, bar, spread, gain, loss)
        marks = value(seen, bar, spread, gain, loss, market.margin_fraction)
        book.unrealized, book.worst_unrealized, book.margin_used = marks
    return OK


@kernel
def _execute_all(desks: Any, accounts: Any, intents: Any, n: int, now: int) -> int:
    """Carry out the intents of a decision in their order of precedence. Return a Status."""
    for i in range(n):
        intents[i].lane = 0
        intents[i].seq = i
    for _ in range(n):
        status = execute_best(desks, accounts, intents, n, now)
        if status != OK:
            return status
    return OK


@inline_kernel
def _decide(slot: Any, desk: Any, state: Any, desks: Any, accounts: Any, i: int, intents: Any, bar: Any) -> int:
    """Let the lane turn the target into intents and carry them out. Return a Status."""
    state.at = slot.at
    n = call_strategy(lane_at(desk.lanes, 0), book_at(desk.books, 0), bar, intents)
    if n != 0:
        if n < 0:
            return failure(n)
        status = _execute_all(desks[i : i + 1], accounts[i : i + 1], intents, n, bar.close_ns)
        if status != OK:
            return status
    holding = state.holding
    slot.money_per_atr = holding.unit.budget
    if holding.side == 0:
        slot.money_per_atr = holding.next_unit.budget if holding.next_side != 0 else 0.0
    return OK


@inline_kernel
def _paid(position: Any) -> float:
    """Return what a position or trade has cost so far, account currency."""
    return float(position.commission + position.slippage + position.spread_cost - position.swap)


@kernel
def _costs(slot: Any, desk: Any, account: Any) -> float:
    """Return what the last bar cost: commission, slippage, half the spread at each fill, swap; count what ended."""
    spent = 0.0
    for i in range(account.n_trades):
        spent += _paid(trade_at(desk.trades, i))
    seen = book_at(desk.books, 0).seen
    paid = 0.0
    for i in range(seen.n_positions):
        paid += _paid(seen.positions[i])
    found = spent + paid - slot.paid
    slot.paid = paid
    slot.n_trades += account.n_trades
    slot.n_rejects += account.n_rejects
    # The rows of trades and refusals are scratch that all environments share.
    account.n_trades = 0
    account.n_rejects = 0
    return float(found)


@inline_kernel
def _next_bar(template: Any, slot: Any, desk: Any, account: Any, book: Any) -> int:
    """Play the next bar: observe, settle, mark the account. Return a Status."""
    row = row_at(template.rows, slot.row)
    market = market_at(desk.markets, 0)
    quote = quote_at(desk.quotes, 0)
    slot.at += 1
    bar = bar_at(row.bars, slot.at)
    status = observe(market, quote, bar)
    if status != OK:
        return status
    show_cross(desk, row, slot.at)
    if bar.open_ns >= account.day_end_ns:
        roll_account_day(account, quote.clock)
    status = _settle(market, desk, book, account, quote, bar)
    if status == OK:
        update_account(desk, account, bar.close_ns)
    return status


@inline_kernel
def _reward(rewards: Any, slot: Any, desk: Any, account: Any, stop_atr: float) -> float:
    """Return the reward of the bar just played."""
    cost = 0.0
    if book_at(desk.books, 0).seen.n_positions + account.n_trades + account.n_rejects > 0 or slot.paid != 0.0:
        cost = _costs(slot, desk, account)
    net = account.equity - slot.equity
    slot.equity = account.equity
    slot.money_per_atr /= stop_atr
    scale = 1.0 / slot.money_per_atr if slot.money_per_atr > 0.0 else 0.0
    slot.net = net * scale
    slot.cost = cost * scale
    below = account.peak_equity - account.equity
    return float(reward_of(rewards[0], slot.memory, net, net + cost, below, scale))


@inline_kernel
def _fetch(template: Any, i: int) -> None:
    """Ask for what the step of environment `i` will read: its memory is far apart, so no processor foresees it."""
    account = template.accounts + i * ACCOUNT_BYTES
    for k in range(ACCOUNT_LINES.shape[0]):
        prefetch(account + ACCOUNT_LINES[k])
    book = template.books + i * BOOK_BYTES
    for k in range(BOOK_LINES.shape[0]):
        prefetch(book + BOOK_LINES[k])
    quote = template.quotes + 2 * i * QUOTE_BYTES
    for k in range(QUOTE_LINES.shape[0]):
        prefetch(quote + QUOTE_LINES[k])


@kernel
def reset_all(
    params: Any, templates: Any, slots: Any, desks: Any, accounts: Any, states: Any, rows: Any, starts: Any, out: Any
) -> int:
    """Begin an episode in every environment.

    Args:
        params: PARAMS array, shape (1,).
        templates: TEMPLATE array, shape (1,).
        slots: SLOT array, shape (n,).
        desks: DESK array, shape (n,).
        accounts: ACCOUNT array, shape (n,).
        states: ACTION array, shape (n,).
        rows: Row of each episode, -1 to draw row and start, shape (n,).
        starts: Bar at whose close it begins, shape (n,).
        out: Observations, float32, shape (n, 28).

    Returns:
        A Status.
    """
    template = templates[0]
    for i in range(slots.shape[0]):
        if rows[i] < 0:
            status = begin_anywhere(template, slots[i], desks[i], accounts[i], states[i])
        else:
            status = begin(template, slots[i], desks[i], accounts[i], states[i], rows[i], starts[i])
        if status != OK:
            return status
        _observe(params[0], template, slots[i], desks[i], accounts[i], states[i], out[i])
    return OK


@kernel
def step_all(
    params: Any,
    templates: Any,
    rewards: Any,
    slots: Any,
    desks: Any,
    accounts: Any,
    states: Any,
    intents: Any,
    targets: Any,
    out: Any,
    paid: Any,
    ended: Any,
    final: Any,
) -> int:
    """Play one bar in every environment; those that end begin another episode.

    Args:
        params: As `reset_all`, also the next six.
        templates: As there.
        rewards: REWARD array, shape (1,).
        slots: As there.
        desks: As there.
        accounts: As there.
        states: As there.
        intents: INTENT array, scratch.
        targets: Wished exposures, shape (n,).
        out: Observations, written, float32, shape (n, 28).
        paid: Rewards, written, shape (n,).
        ended: Written: (n, 2) flags terminated and truncated.
        final: Observation before the new episode, written where one ended, shape (n, 28).

    Returns:
        How many ended, or a negative Status.
    """
    template = templates[0]
    n_ended = 0
    for i in range(slots.shape[0]):
        slot, desk, account, state = slots[i], desks[i], accounts[i], states[i]
        row = row_at(template.rows, slot.row)
        _fetch(template, i + AHEAD)
        prefetch(row.bars + (slot.at + 2) * BAR_BYTES)
        prefetch(row.features + (slot.at + 2) * FEATURE_BYTES)
        prefetch(row.features + (slot.at + 2) * FEATURE_BYTES + LINE_BYTES)
        state.target = targets[i]
        bar = bar_at(row.bars, slot.at)
        status = _decide(slot, desk, state, desks, accounts, i, intents, bar)
        if status == OK:
            status = _next_bar(template, slot, desk, account, book_at(desk.books, 0))
        if status != OK:
            return -status
        paid[i] = _reward(rewards, slot, desk, account, params[0].stop_atr)
        ended[i, 0] = account.equity <= (1.0 - RUIN) * account.peak_equity
        ended[i, 1] = slot.at >= slot.until and not ended[i, 0]
        _observe(params[0], template, slot, desk, account, state, out[i])
        if ended[i, 0] or ended[i, 1]:
            n_ended += 1
            for k in range(N_FEATURES):
                final[i, k] = out[i, k]
            status = begin_anywhere(template, slot, desk, account, state)
            if status != OK:
                return -status
            _observe(params[0], template, slot, desk, account, state, out[i])
    return n_ended
