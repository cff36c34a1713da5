"""Results of back-tests as the engine hands them back, made of a seeded random market."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tradesentry.backtest.metrics.fx_time import utc_offsets
from tradesentry.backtest.result import BacktestResult
from tradesentry.core.domain.records import BAR

HOUR = 3_600_000_000_000
MINUTE = 60_000_000_000
START = int(np.datetime64("2023-01-02T00:00", "ns").astype(np.int64))
LEVELS = {"EURUSD": (1.0700, 0.0001), "GBPUSD": (1.2100, 0.0001), "USDJPY": (131.0, 0.01), "XAUUSD": (1840.0, 0.1)}
TAGS = ("order_block", "sweep", "fair_value_gap")
REASONS = ("stop_loss", "take_profit", "trailing", "weekend", "strategy")

TRADE_SCHEMA: dict[str, Any] = {
    "symbol": pl.String,
    "variant": pl.Int64,
    "id": pl.Int64,
    "side": pl.Int64,
    "units": pl.Float64,
    "entry_ns": pl.Int64,
    "exit_ns": pl.Int64,
    "entry_price": pl.Float64,
    "exit_price": pl.Float64,
    "stop_at_entry": pl.Float64,
    "gross": pl.Float64,
    "commission": pl.Float64,
    "swap": pl.Float64,
    "slippage": pl.Float64,
    "spread_cost": pl.Float64,
    "net": pl.Float64,
    "r_multiple": pl.Float64,
    "mae_r": pl.Float64,
    "mfe_r": pl.Float64,
    "bars_held": pl.Int64,
    "exit_reason": pl.String,
    "basket": pl.Int64,
    "tag": pl.String,
    "cause": pl.List(pl.Int64),
}
EQUITY_SCHEMA: dict[str, Any] = {
    "ts_ns": pl.Int64,
    "equity": pl.Float64,
    "balance": pl.Float64,
    "worst_equity": pl.Float64,
    "margin_used": pl.Float64,
    "n_positions": pl.Int64,
    "trading_state": pl.Int64,
}
REJECT_SCHEMA: dict[str, Any] = {
    "ts_ns": pl.Int64,
    "symbol": pl.String,
    "variant": pl.Int64,
    "code": pl.String,
    "side": pl.Int64,
    "tag": pl.String,
    "value": pl.Float64,
    "limit": pl.Float64,
}


@dataclass(frozen=True)
class Market:
    """One random market with FX hours."""

    symbol: str
    pip: float
    bars: np.ndarray[Any, np.dtype[np.void]]


def fx_bars(symbol: str, n_weeks: int, *, seed: int = 1, minutes: int = 15) -> Market:
    """Return a seeded random walk on the FX week, Sunday 17:00 to Friday 17:00 New York."""
    level, pip = LEVELS[symbol]
    per_week = 5 * 24 * 60 // minutes
    mondays = START // (24 * HOUR) + 7 * np.arange(n_weeks, dtype=np.int64)
    starts = mondays * 24 * HOUR - 7 * HOUR - utc_offsets("America/New_York", mondays)
    opens = (starts[:, None] + np.arange(per_week, dtype=np.int64) * minutes * MINUTE).ravel()
    rng = np.random.default_rng(seed)
    daily = 1.0 + 0.7 * np.sin(np.arange(len(opens)) / (24 * 60 / minutes) * 2 * np.pi)
    walk = np.cumsum(rng.standard_t(5, len(opens)) * daily * 3.2 * pip) + level
    bars = np.zeros(len(opens), BAR)
    bars["open_ns"], bars["close_ns"] = opens, opens + minutes * MINUTE
    bars["open"], bars["close"] = np.concatenate(([level], walk[:-1])), walk
    wick = np.abs(rng.normal(0, 2.0 * pip, (2, len(opens))))
    bars["high"] = np.maximum(bars["open"], bars["close"]) + wick[0]
    bars["low"] = np.minimum(bars["open"], bars["close"]) - wick[1]
    bars["volume"], bars["spread"] = 100 * daily, 0.8 * pip
    return Market(symbol, pip, bars)


def trade_row(**fields: Any) -> dict[str, Any]:
    """Return one closed long trade of EURUSD: +1 R unless said otherwise."""
    row: dict[str, Any] = {
        "symbol": "EURUSD",
        "variant": 0,
        "id": 1,
        "side": 1,
        "units": 10_000.0,
        "entry_ns": START + 8 * HOUR,
        "exit_ns": START + 12 * HOUR,
        "entry_price": 1.07,
        "exit_price": 1.072,
        "stop_at_entry": 1.068,
        "gross": 20.7,
        "commission": 0.7,
        "swap": 0.0,
        "slippage": 0.2,
        "spread_cost": 0.8,
        "net": 20.0,
        "r_multiple": 1.0,
        "mae_r": -0.2,
        "mfe_r": 1.2,
        "bars_held": 16,
        "exit_reason": "take_profit",
        "basket": 0,
        "tag": "sweep",
        "cause": [-1, -1, -1, -1],
    }
    return row | fields


def trades_of(net: list[float], *, risk: float = 20.0, hours_apart: float = 24.0) -> list[dict[str, Any]]:
    """Return one trade per net result, `risk` money at the stop each, evenly spaced."""
    return [
        trade_row(
            id=i + 1,
            entry_ns=START + int(i * hours_apart * HOUR),
            exit_ns=START + int(i * hours_apart * HOUR) + 2 * HOUR,
            gross=value,
            net=value,
            commission=0.0,
            slippage=0.0,
            spread_cost=0.0,
            r_multiple=value / risk,
            exit_reason="take_profit" if value > 0 else "stop_loss",
        )
        for i, value in enumerate(net)
    ]


def trade_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as the trades table of a result."""
    frame = pl.DataFrame(rows, schema=TRADE_SCHEMA)
    zone = pl.Datetime("ns", "UTC")
    return frame.with_columns(
        pl.col("entry_ns").cast(zone).alias("entry_time"), pl.col("exit_ns").cast(zone).alias("exit_time")
    )


def equity_frame(ts_ns: Any, equity: Any, *, worst: Any = None, n_positions: Any = 0) -> pl.DataFrame:
    """Return an account curve as the equity table of a result."""
    values = np.asarray(equity, np.float64)
    columns = {
        "ts_ns": np.asarray(ts_ns, np.int64),
        "equity": values,
        "balance": values,
        "worst_equity": values if worst is None else np.asarray(worst, np.float64),
        "margin_used": np.zeros(len(values)),
        "n_positions": np.broadcast_to(n_positions, len(values)),
        "trading_state": np.zeros(len(values), np.int64),
    }
    frame = pl.DataFrame(columns, schema=EQUITY_SCHEMA)
    return frame.with_columns(pl.col("ts_ns").cast(pl.Datetime("ns", "UTC")).alias("time"))


def reject_frame(codes: list[str]) -> pl.DataFrame:
    """Return one refusal per code as the rejects table of a result."""
    rows = [
        {"ts_ns": START + i * HOUR, "symbol": "EURUSD", "variant": 0, "code": code, "side": 1, "tag": "sweep"}
        | {"value": 2.0, "limit": 1.0}
        for i, code in enumerate(codes)
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA)


def make_result(**fields: Any) -> BacktestResult:
    """Return a small result: ten days of flat equity and no trade, unless said otherwise."""
    ts_ns = START + np.arange(1, 241, dtype=np.int64) * HOUR
    base: dict[str, Any] = {
        "app": "smedge",
        "symbols": ("EURUSD",),
        "timeframe": "M15",
        "source": "mt5_london",
        "is_synthetic": False,
        "account_currency": "USD",
        "capital": 10_000.0,
        "period": (START, int(ts_ns[-1])),
        "bars": {},
        "trades": trade_frame([]),
        "equity": equity_frame(ts_ns, np.full(len(ts_ns), 10_000.0)),
        "rejects": reject_frame([]),
        "config": {"levels": 5, "exits": {"stop_pips": 20.0}},
        "costs": {"preset": "standard"},
        "origins": {"levels": "--set", "exits.stop_pips": "model default"},
        "status": {"state": "active", "since": None, "reason": ""},
    }
    return BacktestResult(**(base | fields))


def _random_trade(market: Market, row: int, n: int, rng: np.random.Generator, edge: float) -> dict[str, Any]:
    """Return a trade that is followed bar by bar to its stop, its target or 96 bars."""
    bars, pip = market.bars, market.pip
    side, stop = int(rng.choice((-1, 1))), float(rng.uniform(12, 30)) * pip
    ahead = bars[row + 1 : row + 97]
    entry = float(ahead["open"][0]) + (0.8 * pip if side > 0 else 0.0)
    adverse = (ahead["low"] - entry) * side if side > 0 else (entry - ahead["high"] - 0.8 * pip)
    favorable = (ahead["high"] - entry) if side > 0 else (entry - ahead["low"] - 0.8 * pip)
    target = stop * 1.6 * (1 - edge)
    stopped = np.flatnonzero(adverse <= -stop)
    reached = np.flatnonzero(favorable >= target)
    first_stop = int(stopped[0]) if len(stopped) else len(ahead)
    first_target = int(reached[0]) if len(reached) else len(ahead)
    last = min(first_stop, first_target, len(ahead) - 1)
    move = -stop if first_stop <= first_target and len(stopped) else target
    reason = "stop_loss" if move < 0 else "take_profit"
    if not len(stopped) and not len(reached):
        move, reason = float((ahead["close"][last] - entry) * side), "strategy"
    risk = 75.0 * float(rng.uniform(0.8, 1.2))
    rate = 1.0 if market.symbol.endswith("USD") else 1.0 / entry
    step = 1.0 if market.symbol == "XAUUSD" else 1000.0
    units = max(step, np.floor(risk / (stop * rate) / step) * step)
    gross, commission = move * units * rate, 7e-5 * units
    net = gross - commission
    return trade_row(
        symbol=market.symbol,
        id=n,
        side=side,
        units=units,
        entry_ns=int(ahead["open_ns"][0]),
        exit_ns=int(ahead["close_ns"][last]),
        entry_price=entry,
        exit_price=entry + side * move,
        stop_at_entry=entry - side * stop,
        gross=gross,
        commission=commission,
        slippage=0.1 * pip * units * rate,
        spread_cost=0.8 * pip * units * rate,
        net=net,
        r_multiple=net / (stop * units * rate),
        mae_r=float(np.clip(adverse[: last + 1].min() / stop, -1.05, 0)),
        mfe_r=float(max(favorable[: last + 1].max() / stop, 0)),
        bars_held=last + 1,
        exit_reason=reason,
        tag=str(rng.choice(TAGS)),
    )


def _zones(market: Market, rng: np.random.Generator, n: int) -> list[dict[str, Any]]:
    rows = []
    for i, at in enumerate(np.sort(rng.integers(100, len(market.bars) - 300, n))):
        bar, life = market.bars[at], int(rng.integers(20, 250))
        low, high, end = float(bar["low"]), float(bar["high"]), market.bars[at + life]
        direction = int(rng.choice((-1, 1)))
        shared = {
            "symbol": market.symbol,
            "component": "order_blocks",
            "direction": direction,
            "id": i,
            "parent_id": -1,
        }
        shared |= {"origin_index": int(at), "origin_ns": int(bar["open_ns"]), "price_low": low, "price_high": high}
        shared |= {"price": high, "other_price": float("nan"), "other_index": -1, "value": float("nan")}
        known = {"known_index": int(at) + 3, "known_at_ns": int(market.bars[at + 3]["close_ns"])}
        rows.append(shared | known | {"event": "OB_NEW"})
        rows.append(shared | {"event": "OB_BREAK", "known_index": int(at) + life, "known_at_ns": int(end["close_ns"])})
        rows.append(shared | known | {"event": "BOS", "component": "structure", "price_low": float("nan")})
    return rows


def realistic_result(
    *,
    n_weeks: int = 78,
    n_trades: int = 412,
    edge: float = 0.0,
    symbols: tuple[str, ...] = ("EURUSD", "GBPUSD"),
    **more: Any,
) -> BacktestResult:
    """Return a result with everything a report can show: random entries with stop and target on a random market."""
    rng = np.random.default_rng(7)
    markets = [fx_bars(symbol, n_weeks, seed=i + 1) for i, symbol in enumerate(symbols)]
    n_bars = len(markets[0].bars)
    rows = sorted(
        (
            _random_trade(markets[int(rng.integers(len(markets)))], int(row), i + 1, rng, edge)
            for i, row in enumerate(np.sort(rng.integers(200, n_bars - 120, n_trades)))
        ),
        key=lambda row: row["exit_ns"],
    )
    times = markets[0].bars["close_ns"][::4].astype(np.int64)
    exits, net = np.array([row["exit_ns"] for row in rows]), np.array([row["net"] for row in rows])
    balance = 10_000.0 + np.concatenate(([0.0], np.cumsum(net)))[np.searchsorted(exits, times, side="right")]
    entries = np.array([row["entry_ns"] for row in rows])
    n_open = np.searchsorted(np.sort(entries), times, side="right") - np.searchsorted(
        np.sort(exits), times, side="right"
    )
    noise = rng.normal(0, 18.0, len(times)) * n_open
    codes = ["max_per_market"] * 41 + ["spread"] * 23 + ["session"] * 17 + ["news"] * 9 + ["shrunk"] * 4
    fields: dict[str, Any] = {
        "symbols": symbols,
        "bars": {m.symbol: m.bars for m in markets},
        "trades": trade_frame(rows),
        "period": (int(markets[0].bars["open_ns"][0]), int(times[-1])),
        "rejects": reject_frame(codes),
        "equity": equity_frame(times, balance + noise, worst=balance + noise - 25.0 * (n_open > 0), n_positions=n_open),
        "config": {
            "timeframe": "M15",
            "risk_fraction": 0.0075,
            "structure": {"swing_bars": 3, "break_by": "close", "displacement_atr": 1.2},
            "exits": {"stop_buffer_atr": 0.25, "take_profit_r": 1.6, "trail_mode": "off", "max_bars": 96},
            "sessions": ["london", "new_york"],
            "require_calendar": False,
        },
        "origins": {"risk_fraction": "smedge.yaml", "exits.take_profit_r": "--set", "structure": "model default"},
        "costs": {
            "preset": "standard",
            "spread": "bars, floor 0.8 pips",
            "commission": "7.00 USD per lot and round trip",
            "slippage": "0.1 pips per market or stop fill",
            "swap": "-0.5 pips long, -0.3 pips short a night",
        },
        "provenance": [
            {
                "source": "mt5_london",
                "symbol": m.symbol,
                "timeframe": "M15",
                "bars": len(m.bars),
                "first": "2023-01-01T22:00Z",
                "last": "2024-06-28T22:00Z",
                "checksum": "b3:9f2c11d07a5e4c18",
                "clock": "Europe/Athens",
                "price_side": "bid",
                "is_synthetic": False,
            }
            for m in markets
        ],
        "warnings": ["GBPUSD: 3 gaps longer than one hour inside the FX week, the longest 4 h 15 min."],
        "events": pl.DataFrame([row for m in markets for row in _zones(m, rng, 150)]),
        "timing": {"bars": n_bars * len(markets), "seconds": 0.0123, "bars_per_second": 6_100_000.0},
    }
    return make_result(**(fields | more))
