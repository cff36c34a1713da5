"""Random scenarios for two engines.

Prices move on a coarse grid, so that touches, ties and equal prices are common; time has gaps and a weekend; costs,
limits and rules are drawn anew for every seed. The intents are a script, so both engines are asked the same.
"""

import numpy as np

from tests.support.markets import HOUR_NS, MINUTE_NS, new_account, new_markets, rules_of, utc
from tests.support.scripted import N_ROWS, Player, Scenario, cancel, close, enter, modify
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.records import BAR

LEVELS = {"EURUSD": 1.10, "GBPUSD": 1.25, "EURGBP": 0.88, "USDJPY": 145.0, "EURJPY": 159.5, "USDCHF": 0.90}
SETS = (
    ("EURUSD",),
    ("USDJPY",),
    ("USDCHF", "EURUSD"),
    ("EURGBP", "GBPUSD"),
    ("EURJPY", "USDJPY"),
    ("EURUSD", "EURGBP", "GBPUSD"),
    ("EURJPY", "EURUSD", "USDJPY"),
    ("EURUSD", "EURJPY"),
)
N_BARS = 240


def random_fine(rng, level, tick, *, n, step_minutes, start_ns):
    """Return finer bars on the grid, without the weekend and without some of the rest."""
    moves = rng.integers(-3, 4, n) * rng.choice([1, 1, 1, 4], n)
    closes = round(level / tick) + np.cumsum(moves)
    opens = np.concatenate([[closes[0]], closes[:-1]]) + rng.choice([0, 0, 0, 0, 1, -1, 7, -7], n)
    bars = np.zeros(n, BAR)
    bars["open_ns"] = start_ns + np.arange(n) * step_minutes * MINUTE_NS
    bars["close_ns"] = bars["open_ns"] + step_minutes * MINUTE_NS
    bars["open"], bars["close"] = opens * tick, closes * tick
    bars["high"] = (np.maximum(opens, closes) + rng.integers(0, 4, n)) * tick
    bars["low"] = (np.minimum(opens, closes) - rng.integers(0, 4, n)) * tick
    bars["spread"] = rng.integers(0, 4, n) * tick
    bars["volume"] = 1.0
    friday, sunday = utc("2024-01-12T22:00"), utc("2024-01-14T22:00")
    week = (bars["open_ns"] - friday) % (7 * 24 * HOUR_NS)
    is_open = (week >= sunday - friday) & (rng.random(n) > 0.01)
    return bars[is_open]


def aggregate(fine, minutes):
    """Return the execution bars of finer ones."""
    length = minutes * MINUTE_NS
    keys, first = np.unique(fine["open_ns"] // length, return_index=True)
    last = np.append(first[1:], len(fine)) - 1
    bars = np.zeros(len(keys), BAR)
    bars["open_ns"], bars["close_ns"] = keys * length, (keys + 1) * length
    bars["open"], bars["close"] = fine["open"][first], fine["close"][last]
    bars["high"], bars["low"] = np.maximum.reduceat(fine["high"], first), np.minimum.reduceat(fine["low"], first)
    bars["spread"], bars["volume"] = fine["spread"][first], 1.0
    return bars


def random_markets(rng, symbols):
    """Return markets with random costs on a coarse grid."""
    markets = new_markets(symbols)
    scale = rng.choice([0.0, 1.0, 1.0, 2.0])
    for m in range(len(symbols)):
        market = markets[m]
        market.tick = market.pip
        market.unit_step = rng.choice([1.0, 1000.0])
        market.unit_min = 1000.0
        market.margin_fraction = rng.choice([1 / 30, 0.2])
        market.cost_scale = scale
        market.commission_per_unit = rng.choice([0.0, 3.5e-5])
        market.commission_fraction = rng.choice([0.0, 2e-5])
        market.commission_min = rng.choice([0.0, 0.0, 1.5])
        market.slippage_mean = rng.choice([0.0, 0.3]) * market.pip
        market.slippage_atr = rng.choice([0.0, 0.02])
        market.slippage_seed = rng.choice([0, 7])
        market.swap_is_rate = rng.random() < 0.3
        nightly = (0.03, 0.02) if market.swap_is_rate else (0.7 * market.pip, 0.4 * market.pip)
        market.swap_long, market.swap_short = -nightly[0], nightly[1]
        market.min_spread = rng.choice([0.0, 1.0]) * market.pip
        market.spread_floor[:] = rng.integers(0, 3, 168) * market.pip
        market.spread_mult = 3.0
        market.min_stop_distance = rng.choice([0.0, 5.0]) * market.pip
    return markets


def add_news(rng, markets, start_ns):
    """Give all markets the same blackouts of an hour."""
    calendar = markets.view(np.ndarray)["calendar"]
    calendar["n_blackouts"] = 30
    for i in range(30):
        at = start_ns + (i * 31 + int(rng.integers(0, 20))) * HOUR_NS + int(rng.integers(0, 60)) * MINUTE_NS
        calendar["blackouts"][:, i] = np.array((at, at + HOUR_NS), calendar["blackouts"].dtype)
    calendar["news_to_ns"] = start_ns + int(rng.choice([3, 100])) * 24 * HOUR_NS


def random_account(rng):
    """Return an account with limits that bite now and then."""
    odd = rng.uniform(0.97, 1.03)  # sizes that meet a limit exactly would be decided by the last bit
    limits = {"stop_out_level": rng.choice([0.0, 0.5, 3.0]), "min_free_margin": rng.choice([0.0, 0.2])}
    if rng.random() < 0.7:
        limits |= {
            "is_on": True,
            "max_idea_risk": odd * rng.choice([0.01, 0.02, 1.0]),
            "max_open_risk": odd * rng.choice([0.01, 0.02, 0.06, 0.5]),
            "max_app_risk": rng.choice([0.4, 0.7, 1.0]),
            "max_currency_net": odd * rng.choice([1.0, 3.0, 50.0]),
            "max_currency_gross": odd * rng.choice([4.0, 200.0]),
            "max_currency_risk": rng.choice([0.025, 0.5]),
            "max_cluster_risk": rng.choice([0.01, 0.03, 0.5]),
            "max_leverage": odd * rng.choice([2.0, 5.0, 200.0]),
            "max_notional": rng.choice([60_000.0, np.inf]),
            "max_positions": rng.choice([4, 40]),
            "max_per_market": rng.choice([3, 20]),
            "max_trades_per_day": rng.choice([4, 1000]),
            "daily_loss": rng.choice([0.004, 0.01, 1.0]),
            "market_daily_loss": rng.choice([0.003, 0.005, 1.0]),
            "drawdown_reduce": rng.choice([0.002, 0.05, 1.0]),
            "drawdown_halt": rng.choice([0.01, 0.05, 1.0]),
            "open_risk_shrinks": rng.random() < 0.5,
            "currency_net_shrinks": rng.random() < 0.5,
        }
    return new_account(odd * rng.choice([3_000.0, 15_000.0, 100_000.0]), **limits)


def random_exits(rng, pip, now_ns, bar_ns):
    """Return random exit rules of an entry."""
    exits = {}
    if rng.random() < 0.4:
        exits |= {"be_trigger_r": rng.choice([0.5, 1.0]), "be_offset": rng.choice([0.0, 1.0]) * pip}
    if rng.random() < 0.5:
        mode = int(rng.integers(1, 4))
        distance = rng.integers(4, 15) * pip if mode == 1 else rng.choice([1.0, 2.0, 3.0])
        exits |= {"trail_mode": mode, "trail_distance": distance, "trail_start_r": rng.choice([0.0, 0.5, 1.0])}
        exits |= {"trail_bars": int(rng.choice([1, 3, 22, 60]))}
    if rng.random() < 0.3:
        exits |= {"partial_r": [0.5, 1.0, 2.0], "partial_fraction": rng.choice([[0.5, 0.25, 0.25], [0.3, 0.3, 0.9]])}
    if rng.random() < 0.3:
        exits |= {"max_bars": int(rng.integers(1, 30))}
    if rng.random() < 0.2:
        exits |= {"exit_ns": now_ns + int(rng.integers(1, 40)) * bar_ns // 2}
    if rng.random() < 0.2:
        exits |= {"max_spread": 2 * pip}
    return exits


def random_entry(rng, at, bar, pip, bar_ns):
    """Return a random entry near the close of a bar, wrong prices included."""
    side = int(rng.choice([1, -1]))
    kind = int(rng.choice([OrderType.MARKET, OrderType.MARKET, OrderType.LIMIT, OrderType.STOP]))
    away = rng.integers(0, 12) * pip * (-side if kind == OrderType.LIMIT else side)
    price = np.nan if kind == OrderType.MARKET else bar["close"] + away
    entry = bar["close"] if kind == OrderType.MARKET else price
    stop = entry - side * rng.choice([2, 6, 8, 12, 20, 40]) * pip
    target = rng.choice([np.nan, entry + side * rng.choice([-2, 6, 10, 15, 30]) * pip])
    size = (
        {"risk": rng.choice([0.002, 0.005, 0.01, 0.03])}
        if rng.random() < 0.6
        else {"units": rng.choice([500, 2e3, 5e4, 2e5])}
    )
    more = random_exits(rng, pip, int(bar["close_ns"]), bar_ns)
    if rng.random() < 0.3:
        more["expiry_ns"] = int(bar["close_ns"]) + int(rng.integers(-1, 20)) * bar_ns // 2
    if rng.random() < 0.4:
        more |= {"basket": int(rng.integers(1, 4))}
    if rng.random() < 0.5:
        more |= {"quota_key": int(rng.integers(1, 4)), "quota_max": int(rng.integers(1, 3))}
    if rng.random() < 0.4:
        more |= {"group": int(rng.integers(1, 3)), "skip_if_both": bool(rng.random() < 0.5)}
    return enter(at, side, stop, target, price=price, type=kind, score=rng.integers(0, 3), tag=at, **size, **more)


def random_bracket(rng, at, bar, pip):
    """Return stop entries on both sides of a close, one cancels the other."""
    away, stop = rng.integers(2, 8) * pip, rng.integers(8, 16) * pip
    more = {"type": OrderType.STOP, "group": 3, "skip_if_both": bool(rng.random() < 0.5), "units": 2e3, "tag": at}
    prices = [(side, bar["close"] + side * away) for side in (1, -1)]
    return [enter(at, side, price - side * stop, price=price, **more) for side, price in prices]


def random_script(rng, bars, pip, bar_ns):
    """Return a script of many entries and some of everything else."""
    script = []
    for at in np.sort(rng.integers(0, len(bars), int(rng.integers(40, 140)))).tolist():
        bar, kind = bars[at], rng.random()
        which = {"target_id": int(rng.choice([-1, -2, -3, 77]))} if rng.random() < 0.6 else {}
        if not which and rng.random() < 0.5:
            which = {"basket": int(rng.integers(1, 4))}
        if kind < 0.08:
            script += random_bracket(rng, at, bar, pip)
        elif kind < 0.65:
            script.append(random_entry(rng, at, bar, pip, bar_ns))
        elif kind < 0.78:
            script.append(close(at, rng.choice([0.0, 0.0, 1000.0]), side=int(rng.choice([0, 0, 1, -1])), **which))
        elif kind < 0.86:
            script.append(cancel(at, side=int(rng.choice([0, 0, 1, -1])), **which))
        else:
            stop = rng.choice([np.nan, bar["close"] + rng.integers(-15, 16) * pip])
            target = rng.choice([np.nan, bar["close"] + rng.integers(-20, 21) * pip])
            script.append(modify(at, stop, target, **which))
    return script[:N_ROWS]


def random_rules(rng, bar_ns, pip):
    """Return random RULES."""
    return rules_of(
        bar_ns=bar_ns,
        weekend_flatten=rng.random() < 0.5,
        weekend_lead_ns=int(rng.choice([0, 60])) * MINUTE_NS,
        no_entry_lead_ns=2 * HOUR_NS,
        uses_news=rng.random() < 0.4,
        requires_calendar=rng.random() < 0.3,
        news_flatten=rng.random() < 0.2,
        max_spread=rng.choice([0.0, 0.0, 4.0]) * pip,
        target_volatility=rng.choice([0.0, 0.05]),
        warmup_bars=int(rng.choice([0, 20])),
    )


def random_scenario(seed):
    """Return the scenario of a seed."""
    rng = np.random.default_rng(seed)
    symbols = SETS[int(rng.integers(len(SETS)))]
    minutes = int(rng.choice([15, 60, 240]))
    start_ns = utc("2024-01-10T06:00")
    markets = random_markets(rng, symbols)
    add_news(rng, markets, start_ns)
    has_fine = rng.random() < 0.35
    bars, fine = [], []
    for m, symbol in enumerate(symbols):
        step = minutes // 3
        tick = float(markets[m].tick)
        finer = random_fine(rng, LEVELS[symbol], tick, n=3 * N_BARS * 7 // 5, step_minutes=step, start_ns=start_ns)
        bars.append(aggregate(finer, minutes)[:N_BARS])
        fine.append(finer[rng.random(len(finer)) > 0.05] if has_fine else finer[:0])
    players = []
    is_shared = rng.random() < 0.5
    for i in range(int(rng.integers(1, 4)) + len(symbols) - 1):
        m = i % len(symbols)
        pip = float(markets[m].pip)
        rules = random_rules(rng, minutes * MINUTE_NS, pip)
        script = random_script(rng, bars[m], pip, minutes * MINUTE_NS)
        players.append(Player(script, market=m, rules=rules, variant=0 if is_shared else i, app=i % 2))
    return Scenario(markets, bars, players, random_account(rng), fine)
