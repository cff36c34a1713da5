"""The zone timeframe beside execution bars: the same events as the components alone, from completed buckets only."""

from functools import cache

import numpy as np
import pytest

from tests.unit.core.strategy.indicators.series import HOUR_NS, TICK, random_bars
from tradesentry.core.domain.calendar_records import CLOCK, CURSOR
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.market import clock as market_clock
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.market.instruments import instrument
from tradesentry.core.market.resample import resample_bars
from tradesentry.core.strategy.config import ParamsModel
from tradesentry.core.strategy.indicators import dealing_range, hygiene, order_blocks, run, structure, zone_context
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.midpoint import MidpointParams
from tradesentry.core.strategy.indicators.supply_demand import SupplyDemandParams
from tradesentry.core.strategy.indicators.tables import events_frame
from tradesentry.core.strategy.indicators.zone_events import SHOWN, zone_events
from tradesentry.core.utils.kernel import kernel, new_records

SAME = ("event", "direction", "id", "origin_index", "origin_ns", "price_low", "price_high", "price", "value")
BASES = {"dep_atr": 0.8, "base_atr": 1.0, "max_age": 240}


@kernel
def follow(params, context, clean, state, cursor, clock, calendar, bars, exposures, events, out):
    """Take bars one by one; keep all events."""
    n = 0
    for i in range(len(bars)):
        bar = bars[i]
        market_clock.advance(calendar, cursor, clock, bar.open_ns, bar.close_ns)
        if hygiene.check(clean, state, bar, clock, TICK, events):
            status = zone_context.update(params, context, state, clock, exposures[i], events)
            if status != 0:
                return -status
        for k in range(events.n):
            out[n] = events.items[k]
            n += 1
    return n


@cache
def calendar_of(first_ns, last_ns):
    return build_calendar(CalendarSpec(sessions=("london",)), instrument("EURUSD"), first_ns, last_ns)


def watch(bars, *, exposures=None, **settings):
    """Return (context, events as a frame) after the bars."""
    model = zone_context.ZoneContextParams(**settings)
    params = new_records(1, zone_context.PARAMS)
    zone_context.fill_params(model, params[0])
    clean = new_records(1, hygiene.PARAMS)
    clean.reset_gap_days = 3.0
    context, state = new_records(1, zone_context.STATE), new_records(1, hygiene.STATE)
    cursor, clock = new_records(1, CURSOR), new_records(1, CLOCK)
    events, out = new_records(1, zone_context.EVENTS), new_records(40 * len(bars) + 64, ev.EVENT)
    calendar = calendar_of(int(bars.open_ns[0]), int(bars.close_ns[-1]))
    market_clock.seek(calendar[0], cursor[0], clock[0], int(bars.open_ns[0]))
    held = np.zeros(len(bars)) if exposures is None else exposures
    n = follow(
        params[0], context[0], clean[0], state[0], cursor[0], clock[0], calendar[0], bars, held, events[0], out
    )  # fmt: skip
    assert n >= 0
    return context[0], events_frame(out[:n])


def of(frame, component):
    return frame.filter(frame["component"] == component).select(SAME)


@pytest.mark.parametrize(("zone_timeframe", "name"), [("h1", "H1"), ("h4", "H4")])
def test_components_say_what_they_say_on_the_zone_timeframe_alone(zone_timeframe, name):
    bars = random_bars(6_000, seed=3)
    whole = resample_bars(bars, name)
    calendar = calendar_of(int(bars.open_ns[0]), int(bars.close_ns[-1]))

    _, events = watch(
        bars,
        zone_timeframe=zone_timeframe,
        uses_blocks=True,
        bases=SupplyDemandParams(contiguous_only=True, **BASES),
        midpoint=MidpointParams(anchor="eq"),
    )

    wanted = {
        "supply_demand": {"contiguous_only": True, **BASES},
        "order_blocks": {},
        "structure": {},
        "swings": {},
        "midpoint": {"anchor": "eq"},
    }
    for component, params in wanted.items():
        alone = run(component, params, whole, calendar=calendar, output="events").select(SAME)
        assert alone.height > 10
        assert of(events, component).equals(alone, null_equal=True), component


def test_hours_drive_the_regime_whatever_the_zone_timeframe():
    bars = random_bars(4_000, seed=5)

    hourly, _ = watch(bars)
    four, _ = watch(bars, zone_timeframe="h4")

    assert float(four.regime.adx.value) == float(hourly.regime.adx.value)
    assert float(four.regime.efficiency_ratio) == float(hourly.regime.efficiency_ratio)
    assert four.n_buckets < hourly.n_buckets


def test_unfinished_bucket_changes_nothing():
    bars = random_bars(2_001, seed=8, missing=0.0)
    n = int(np.flatnonzero(bars.close_ns[:2_000] % HOUR_NS == 0)[-1]) + 1
    other = bars.copy()
    for column in ("open", "high", "low", "close"):
        other[column][n : n + 3] += 40 * TICK

    a, _ = watch(bars[: n + 3])
    b, _ = watch(other[: n + 3])

    zones = [name for name in zone_context.STATE.names if name not in ("buckets", "regime")]
    assert all(np.asarray(a[name]).tobytes() == np.asarray(b[name]).tobytes() for name in zones)
    assert float(a.regime.adx.value) == float(b.regime.adx.value)


def test_breaks_are_told_on_their_bar_only():
    bars = random_bars(3_000, seed=4)
    known = {}
    _, events = watch(bars)
    for row in events.filter(events["component"] == "structure").iter_rows(named=True):
        known[row["known_at_ns"]] = (row["event"], row["direction"])
    at = sorted(known)[20]
    until = int(np.searchsorted(bars.close_ns, at)) + 1

    on, _ = watch(bars[:until])
    after, _ = watch(bars[: until + 1])

    event, direction = known[at]
    assert (int(on.bos), int(on.choch)) == ((direction, 0) if event == "BOS" else (0, direction))
    assert after.n_new > 0 or (int(after.bos), int(after.choch)) == (0, 0)


def test_reset_waits_while_there_is_exposure():
    bars = random_bars(3_000, seed=4)
    exposures = np.zeros(len(bars))
    exposures[1_000:2_000] = 5_000.0

    _, free = watch(bars)
    _, held = watch(bars, exposures=exposures)

    inside = (held["known_at_ns"] > int(bars.close_ns[999])) & (held["known_at_ns"] <= int(bars.close_ns[1_999]))
    codes = held.filter(inside & (held["component"] == "midpoint"))["event"].cast(str).to_list()
    assert codes == ["RESET_DEFERRED"]
    assert free.filter(free["event"].cast(str) == "RESET").height > 5


def test_range_position_and_nearest_zone_ahead_are_those_of_the_records():
    context, _ = watch(random_bars(5_000, seed=2), bases=SupplyDemandParams(**BASES))
    span, ring = context.span, context.bases.zones
    price = float(span.range_low + 0.25 * (span.range_high - span.range_low))

    supply = [float(z.near) for z in ring.items[: ring.n] if z.direction < 0 and z.near > price]
    demand = [float(z.near) for z in ring.items[: ring.n] if z.direction > 0 and z.near < price]

    assert zone_context.range_position(context, price) == pytest.approx(0.25)
    assert supply or demand
    for side, found in ((1, min(supply, default=np.nan)), (-1, max(demand, default=np.nan))):
        np.testing.assert_equal(zone_context.nearest_ahead(ring, side, price), found)
    assert zone_context.age(ring, ring.items[ring.n - 1]) >= 0


def test_gaps_cannot_be_asked_for():
    with pytest.raises((ConfigError, ValueError), match="needs_gap"):
        zone_context.ZoneContextParams(blocks=order_blocks.OrderBlocksParams(needs_gap=True))


@pytest.mark.parametrize("source", ["swings", "leg", "day", "session"])
def test_range_of_every_source_is_that_of_its_component(source):
    bars = random_bars(4_000, seed=6, missing=0.0)
    params = dealing_range.DealingRangeParams(range_source=source)

    context, _ = watch(bars, midpoint=MidpointParams(anchor="eq", dealing_range=params))

    calendar = calendar_of(int(bars.open_ns[0]), int(bars.close_ns[-1]))
    rows = run("dealing_range", params, resample_bars(bars, "H1"), calendar=calendar, tick=TICK)
    assert isinstance(params, ParamsModel)
    assert isinstance(params.structure, structure.StructureParams)
    assert float(context.span.range_low) == rows["range_low"][-1]
    assert float(context.span.range_high) == rows["range_high"][-1]


def test_warm_up_grows_with_the_zone_timeframe_and_the_averages():
    plain = zone_context.ZoneContextParams()
    trending = zone_context.ZoneContextParams(regime={"trend_mode": "ema"})

    assert zone_context.bars_needed(plain, 15) == zone_context.bars_needed(trending, 15) > 2_000
    flat = zone_context.ZoneContextParams(regime={"trend_mode": "off"})
    slow = zone_context.ZoneContextParams(regime={"trend_mode": "off"}, zone_timeframe="h4")
    assert zone_context.bars_needed(flat, 15) < zone_context.bars_needed(slow, 15) < 1_000


@pytest.mark.parametrize("zone_timeframe", ["h1", "h4"])
def test_chart_shows_what_the_strategy_saw_when_it_was_known(zone_timeframe):
    bars = random_bars(4_000, seed=9)
    settings = {"zone_timeframe": zone_timeframe, "uses_blocks": True, "bases": SupplyDemandParams(**BASES)}
    _, seen = watch(bars, **settings)
    calendar = calendar_of(int(bars.open_ns[0]), int(bars.close_ns[-1]))

    shown = zone_events(zone_context.ZoneContextParams(**settings), bars, calendar=calendar, tick=TICK)

    columns = ["component", "event", "id", "known_at_ns"]
    wanted = seen.filter(seen["event"].cast(str).is_in(SHOWN)).select(columns).sort(columns)
    assert shown.height > 50
    assert shown.select(columns).sort(columns).equals(wanted)
    assert (bars.close_ns[shown["known_index"].to_numpy()] == shown["known_at_ns"].to_numpy()).all()


def test_chart_of_nothing_is_nothing():
    calendar = calendar_of(int(random_bars(9).open_ns[0]), int(random_bars(9).close_ns[-1]))

    for n in (0, 2):
        assert zone_events(zone_context.ZoneContextParams(), random_bars(9)[:n], calendar=calendar, tick=TICK) is None
