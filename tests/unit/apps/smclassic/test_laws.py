"""Laws of smclassic on random markets: no look-ahead, restart, mirror, limits of risk and time, no edge from nothing.

A docstring that says what bites names a planted fault with which the proof was seen to fail.
"""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.apps.breakout.factories import MINUTE
from tests.unit.apps.breakout.test_laws import TICK, market, memory, mirrored, played
from tests.unit.apps.smclassic.factories import resolve
from tradesentry.apps.smclassic.helpers import _split_risk, spread_limit
from tradesentry.apps.smclassic.layout import PLAN
from tradesentry.apps.smclassic.orders import ROLLOVER_NS
from tradesentry.apps.smclassic.strategy import SMClassicStrategy
from tradesentry.backtest.proofs import neighbor_run
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena, play
from tradesentry.core.domain.orders import ExitReason
from tradesentry.core.utils.kernel import load_records, new_records, save_records

ENTRIES = [{"entry": "limit", "tranches": 2}, {"entry": "mid"}, {"entry": "rejection"}]
EAGER = {
    "max_touches": 2, "min_rr": 0.8, "discount": 0.0, "dep_atr": 1.0, "base_atr": 1.0, "height_min": 0.1,
    "height_max": 4.0,
}  # fmt: skip
"""Trades as often as it can."""


def run_of(bars, **options):
    run = resolve(bars, **{**EAGER, **options})
    run.markets["tick"] = TICK
    return run


def after(arena):
    while arena.play():
        pass
    return memory(arena)


@pytest.mark.parametrize("options", ENTRIES, ids=lambda o: o["entry"])
def test_nothing_depends_on_a_later_bar(options):
    bars = market(60)
    n = 3_000
    changed = bars.copy()
    shift = np.cumsum(np.random.default_rng(7).integers(-60, 61, len(bars) - n)) * TICK
    for name in ("open", "high", "low", "close"):
        changed[name][n:] += shift
    here, there = new_arena(run_of(bars, **options)), new_arena(run_of(changed, **options))

    assert played(here, n) == played(there, n)
    assert after(here) != after(there)


def test_unfinished_hour_changes_no_candidate_and_no_limit():
    bars = market(60)
    n = int(np.flatnonzero((bars.close_ns % (60 * MINUTE) == 0) & (np.arange(len(bars)) < 3_500))[-1]) + 1
    other = bars.copy()
    for name in ("open", "high", "low", "close"):
        other[name][n : n + 2] += 3 * TICK
    images = []
    for rows in (bars, other):
        arena = new_arena(run_of(rows))
        played(arena, n + 2)
        found = arena.lanes[0].state[0]
        images.append((int(found.n_candidates), found.candidates.tobytes(), found.context.span.tobytes()))

    assert images[0][0] > 0
    assert images[0] == images[1]


def resumed(run, old, *, without=()):
    """A new arena that goes on from saved bytes of another, some fields of the strategy's state left out."""
    fresh = new_arena(run)
    lane = fresh.lanes[0]
    lane.state[:] = load_records(save_records(old.lanes[0].state), SMClassicStrategy.STATE)
    for field in without:
        lane.state[field].view(np.ndarray).view(np.uint8)[:] = 0
    for name in ("books", "quotes", "account"):
        getattr(fresh, name).view(np.ndarray).view(np.uint8)[:] = getattr(old, name).view(np.ndarray).view(np.uint8)
    fresh.series.next_bar, fresh.series.next_close_ns = old.series.next_bar, old.series.next_close_ns
    return fresh


def decisions(arena):
    """Orders, entries, positions and what the strategy means to do, by value."""
    seen, queue = arena.books[0].seen, arena.books[0].queue[: arena.books[0].n_queue]
    found = arena.lanes[0].state[0]
    return repr((
        [(o.side, o.price, o.stop_loss, o.take_profit, o.tag, o.units) for o in seen.orders[: seen.n_orders]],
        [(i.action, i.side, i.stop_loss, i.units) for i in queue],
        [(p.side, p.units, p.entry_price, p.take_profit) for p in seen.positions[: seen.n_positions]],
        [(c.zone_id, c.level, c.max_spread) for c in found.candidates[: found.n_candidates]],
        int(found.n_marks), int(found.pause), bool(found.idea.is_open),
    ))  # fmt: skip


@pytest.mark.parametrize("options", ENTRIES, ids=lambda o: o["entry"])
def test_restart_at_any_bar_gives_the_identical_next_bar(options):
    """Bites: see the next test."""
    run = run_of(market(40), **options)
    arena = new_arena(run)
    arena.play(1_500)
    for _ in range(80):
        again = resumed(run, arena)
        arena.play(5)
        again.play(5)

        assert decisions(again) == decisions(arena)


@pytest.mark.parametrize("field", ["context", "asked", "marks", "hygiene", "idea", "candidates"])
def test_restart_notices_a_field_that_was_not_saved(field):
    run = run_of(market(60), tranches=2)
    arena = new_arena(run)
    arena.play(1_500)

    for _ in range(300):
        again = resumed(run, arena, without=(field,))
        arena.play(8)
        again.play(8)
        if decisions(again) != decisions(arena):
            return

    pytest.fail(f"no decision hangs on {field}")


def finely(run):
    """The run with a tick far below its prices: half a tick is rounded up on both sides, which has no mirror image."""
    run.markets["tick"] = TICK / 32
    return run


@pytest.mark.parametrize("options", [*ENTRIES, {"entry": "limit", "range_source": "leg"}], ids=str)
def test_trades_of_the_mirrored_market_are_mirrored(options):
    """Bites: with sales resting at the edge itself, like purchases, the first sale differs."""
    bars = market(120, 3)
    other, about = mirrored(bars)

    here, there = (new_arena(finely(run_of(rows, risk=0.001, **options))) for rows in (bars, other))
    here.run()
    there.run()

    a, b = here.trade_rows, there.trade_rows
    assert len(a) > 15
    assert a.side.tolist() == (-b.side).tolist()
    assert a.entry_ns.tolist() == b.entry_ns.tolist()
    assert a.exit_ns.tolist() == b.exit_ns.tolist()
    assert a.exit_reason.tolist() == b.exit_reason.tolist()
    np.testing.assert_allclose(a.entry_price, about - b.entry_price, atol=1.5 * TICK)
    np.testing.assert_allclose(a.stop_at_entry, about - b.stop_at_entry, atol=1.5 * TICK)


@pytest.mark.parametrize("options", ENTRIES, ids=lambda o: o["entry"])
def test_positions_orders_and_entries_obey_their_limits(options):
    """Bites: without the group of the two limits, both sides fill."""
    bars = market(120, 1)
    run = run_of(bars, weekend="hold", **options)
    arena = new_arena(run)
    warm, most = SMClassicStrategy.bars_needed(run.config), run.config.tranches
    seen, stops = arena.books[0].seen, {}
    for i in range(len(bars)):
        arena.play(1)
        held = seen.positions[: seen.n_positions]
        queue = arena.books[0].queue[: arena.books[0].n_queue]
        resting = seen.orders[: seen.n_orders]
        assert len(held) <= most
        assert len(resting) <= (2 if len(held) == 0 else most - 1)
        assert len({int(p.side) for p in held}) <= 1
        for order in resting:
            assert order.side * (order.price - order.stop_loss) > 0
            assert bars.close_ns[i] < order.expiry_ns
        for p in held:
            before = stops.get(int(p.id), p.stop_loss)
            assert p.side * (p.stop_loss - before) >= 0
            stops[int(p.id)] = p.stop_loss
        enters = len(resting) > 0 or any(intent.action == 1 for intent in queue)
        left, clock = int(seen.clock.week_end_ns - bars.close_ns[i]), seen.clock
        if i < warm or left <= 120 * MINUTE:
            assert not enters
        if bars.close_ns[i] + 15 * MINUTE > clock.fx_day_end_ns - ROLLOVER_NS:
            assert not enters
        if bars.close_ns[i] < clock.fx_day_start_ns + ROLLOVER_NS:
            assert not enters
    assert len(arena.trade_rows) > 30


@pytest.mark.parametrize("options", ENTRIES[:2], ids=lambda o: o["entry"])
def test_loss_at_the_stop_stays_within_the_budget(options):
    """Bites: with the whole risk given to each tranche, two tranches lose twice the budget."""
    arena = new_arena(run_of(market(120, 2), costs="standard", **options))
    arena.run()
    trades = arena.trade_rows
    stopped = trades[
        (trades.exit_reason == ExitReason.STOP_LOSS) & (np.abs(trades.exit_price - trades.stop_at_entry) < 3 * TICK)
    ]
    budget = 0.005 * float(arena.equity_rows.equity.max())

    ideas = {}
    for trade in stopped:
        key = (int(trade.cause[0]), int(trade.exit_ns))
        ideas[key] = ideas.get(key, 0.0) - float(trade.net - trade.swap)

    assert len(ideas) > 8
    assert max(ideas.values()) <= budget * (1 + 1e-9)


def test_order_of_symbols_does_not_matter():
    from tests.unit.apps.breakout.factories import series_of

    a, b = series_of(market(60), "EURUSD"), series_of(market(60, 1), "GBPUSD")
    values = {**run_of(market(60)).config.model_dump(), "symbols": ["EURUSD", "GBPUSD"]}
    settings = RunSettings(costs="free", limits="off", capital=100_000)
    arenas = []
    for bars in ([a, b], [b, a]):
        arena = new_arena(resolve_run("smclassic", bars=bars, config=values, settings=settings))
        arena.run()
        arenas.append(arena)

    assert len(arenas[0].trade_rows) > 10
    assert arenas[0].trade_rows.tobytes() == arenas[1].trade_rows.tobytes()


@cache
def walks():
    """A run over three driftless walks of eight months, the path inside their bars known."""
    settings = RunSettings(source="synthetic:random_walk", from_="2022-01-03", to="2022-09-01", limits="off")
    return resolve_run("smclassic", overrides=["symbols=[EURUSD,GBPUSD,AUDUSD]", "intrabar=tick"], settings=settings)


@pytest.mark.parametrize("options", ENTRIES, ids=lambda o: o["entry"])
def test_driftless_walk_pays_nothing_before_costs_and_takes_the_costs_after(options):
    run = walks()
    eager = {"swing_left": 3, "regime": "off", **EAGER, **options}
    config = run.config.model_copy(update=eager)
    free, costly = (play(neighbor_run(run, config), cost_scale=scale) for scale in (0.0, 1.0))

    r, paid = (result.trades["r_multiple"].to_numpy() for result in (free, costly))
    error = 3.5 * paid.std(ddof=1) / np.sqrt(len(paid))
    assert len(r) > 60
    assert abs(r.mean()) < 3.5 * r.std(ddof=1) / np.sqrt(len(r))
    assert 0 < costly.summary["cost_per_trade_r"] < 0.3
    assert abs(paid.mean() + costly.summary["cost_per_trade_r"]) < error


pips = st.floats(0.1, 200.0)


@given(first=pips, second=pips, spread=st.floats(0.0, 5.0), risk=st.floats(0.001, 0.01))
def test_tranches_of_equal_units_lose_the_risk_together(first, second, spread, risk):
    plan = new_records(1, PLAN)[0]
    plan.side, plan.price, plan.second, plan.stop, plan.spread = 1, first + second, second, 0.0, spread
    params = new_records(1, SMClassicStrategy.params_dtype())[0]
    params.risk, params.tranches = risk, 2

    _split_risk(params, plan)

    assert plan.risk + plan.second_risk == pytest.approx(risk)
    assert plan.risk / (first + second + spread) == pytest.approx(plan.second_risk / (second + spread))


@given(gain=pips, loss=pips, crossed=st.sampled_from([0.0, 1.0]), min_rr=st.floats(0.8, 2.0))
def test_reward_at_the_spread_limit_is_the_least_one(gain, loss, crossed, min_rr):
    params = new_records(1, SMClassicStrategy.params_dtype())[0]
    params.min_rr = min_rr

    limit = spread_limit(params, gain, loss, crossed)

    if limit >= 0:
        assert (gain - crossed * limit) / (loss + (1 + crossed) * limit) == pytest.approx(min_rr)
    else:
        assert gain / loss < min_rr
