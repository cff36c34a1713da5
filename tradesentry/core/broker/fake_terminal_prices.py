"""What a fake terminal shows of the market: symbols, ticks and bars, all in the server's time.

Separate from trading. Bars are kept as minutes and built for every other period, as a terminal does, from the ticks
that were shown and the minutes that were loaded; the last row is the bar that is still forming, and `maxbars` cuts
what is older.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_profile import AccountTerms, SymbolTerms
from tradesentry.core.broker.fake_terminal_rows import MILLISECOND_NS, STRUCTURES
from tradesentry.core.broker.fake_terminal_venue import TerminalVenue
from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.domain.venue import Quote
from tradesentry.core.market.bars import BarArray

Table = NDArray[Any]
MINUTE_NS: Final = 60 * NS_PER_SECOND
WEEK_SECONDS: Final = 7 * 86_400
FIRST_SUNDAY: Final = 3 * 86_400
RATES: Final = np.dtype(list(mt5.RATES_TYPE))
TICKS: Final = np.dtype(list(mt5.TICKS_TYPE))
_SYMBOL_FIELDS: Final = mt5.STRUCTURES["SymbolInfo"]
_FIRST_PRICE, _FIRST_TEXT = _SYMBOL_FIELDS.index("bid"), _SYMBOL_FIELDS.index("basis")
_NOTHING: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_SYMBOL_FIELDS[:_FIRST_PRICE], 0),
    **dict.fromkeys(_SYMBOL_FIELDS[_FIRST_PRICE:_FIRST_TEXT], 0.0),
    **dict.fromkeys(_SYMBOL_FIELDS[_FIRST_TEXT:], ""),
}


def timeframe_seconds(timeframe: int) -> int | None:
    """Return the length of a TIMEFRAME constant, 0 for the month, None for no timeframe."""
    known = {value for name, value in mt5.CONSTANTS.items() if name.startswith("TIMEFRAME_")}
    if timeframe not in known:
        return None
    unit, count = timeframe & 0xC000, timeframe & 0x3FFF
    return {0: 60 * count, 0x4000: 3_600 * count, 0x8000: WEEK_SECONDS * count}.get(unit, 0)


def period_starts(times: NDArray[np.int64], seconds: int) -> NDArray[np.int64]:
    """Return the opens of the periods that server times lie in; weeks begin on Sunday, months on the first.

    Args:
        times: Server seconds.
        seconds: Length of the period, 0 for the month.
    """
    if seconds == 0:
        return times.astype("datetime64[s]").astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)
    shift = FIRST_SUNDAY if seconds % WEEK_SECONDS == 0 else 0
    return (times - shift) // seconds * seconds + shift


class TerminalPrices:
    """Ticks and minutes of the symbols of one account.

    Args:
        venue: For quotes, margins and swaps.
        terms: For the server's clock.
    """

    def __init__(self, venue: TerminalVenue, terms: AccountTerms) -> None:
        self._venue, self._terms = venue, terms
        self._ticks: dict[str, list[Quote]] = {}
        self._minutes: dict[str, list[list[float]]] = {}

    def heard(self, quote: Quote, *, point: float) -> None:
        """Keep a tick, and the minute that it belongs to."""
        self._ticks.setdefault(quote.symbol, []).append(quote)
        minutes = self._minutes.setdefault(quote.symbol, [])
        open_ns, spread = quote.ts_ns - quote.ts_ns % MINUTE_NS, round((quote.ask - quote.bid) / point)
        if minutes and minutes[-1][0] >= open_ns:
            row = minutes[-1]
            row[2], row[3], row[4] = max(row[2], quote.bid), min(row[3], quote.bid), quote.bid
            row[5] += 1
            row[6] = min(row[6], spread)
        else:
            minutes.append([open_ns, quote.bid, quote.bid, quote.bid, quote.bid, 1, spread])

    def load(self, symbol: SymbolTerms, bars: BarArray) -> None:
        """Put minutes before those that were seen.

        Args:
            symbol: Whose.
            bars: BAR array of one-minute bars, sorted.
        """
        rows = []
        for bar in bars:
            prices = [float(bar[name]) for name in ("open", "high", "low", "close")]
            spread = round(float(bar["spread"]) / symbol.point)
            rows.append([int(bar["open_ns"]), *prices, max(1.0, float(bar["volume"])), spread])
        self._minutes[symbol.symbol] = rows + self._minutes.get(symbol.symbol, [])

    def rates(self, symbol: SymbolTerms, seconds: int, *, maxbars: int) -> Table:
        """Return the bars of a period, oldest first, the forming one last; times are server seconds."""
        rows = self._minutes.get(symbol.symbol, [])
        if not rows:
            return np.zeros(0, RATES)
        table = np.array(rows, dtype=np.float64)
        utc_s = np.array([int(row[0]) for row in rows], dtype=np.int64) // NS_PER_SECOND
        starts = period_starts(self._terms.wall_seconds(utc_s), seconds)
        first = np.flatnonzero(np.concatenate([[True], starts[1:] != starts[:-1]]))
        last = np.concatenate([first[1:] - 1, [len(starts) - 1]])
        result = np.zeros(len(first), RATES)
        result["time"], result["open"], result["close"] = starts[first], table[first, 1], table[last, 4]
        result["high"] = np.maximum.reduceat(table[:, 2], first)
        result["low"] = np.minimum.reduceat(table[:, 3], first)
        result["tick_volume"] = np.add.reduceat(table[:, 5], first).astype(np.uint64)
        result["spread"] = np.minimum.reduceat(table[:, 6], first).astype(np.int32)
        return result[-maxbars:]

    def ticks(self, symbol: SymbolTerms) -> Table:
        """Return all ticks of a symbol, oldest first."""
        quotes: Sequence[Quote] = self._ticks.get(symbol.symbol, [])
        result = np.zeros(len(quotes), TICKS)
        for i, quote in enumerate(quotes):
            server_ns = self._terms.server_ns(quote.ts_ns)
            result[i]["time"], result[i]["time_msc"] = server_ns // NS_PER_SECOND, server_ns // MILLISECOND_NS
            result[i]["bid"], result[i]["ask"] = quote.bid, quote.ask
            result[i]["flags"] = mt5.TICK_FLAG_BID | mt5.TICK_FLAG_ASK
        return result

    def tick(self, symbol: SymbolTerms) -> Any:
        """Return the newest Tick, None before the first or outside the market watch."""
        quote = self._venue.quotes.get(symbol.symbol)
        if quote is None or not symbol.is_selected:
            return None
        server_ns = self._terms.server_ns(quote.ts_ns)
        return STRUCTURES["Tick"](
            time=server_ns // NS_PER_SECOND,
            bid=quote.bid,
            ask=quote.ask,
            last=0.0,
            volume=0,
            time_msc=server_ns // MILLISECOND_NS,
            flags=mt5.TICK_FLAG_BID | mt5.TICK_FLAG_ASK,
            volume_real=0.0,
        )

    def symbol_info(self, symbol: SymbolTerms) -> Any:
        """Return the SymbolInfo that the package shows."""
        item = symbol.item.instrument
        said = {**_NOTHING, **self._trading(symbol), **self._swaps(symbol)}
        said |= {"currency_base": item.base, "currency_profit": item.quote, "currency_margin": item.base}
        said |= {"name": symbol.name, "path": symbol.path, "description": f"{item.base} against {item.quote}"}
        quote = self._venue.quotes.get(symbol.symbol) if symbol.is_selected else None
        if quote is not None:
            bids = [seen.bid for seen in self._ticks.get(symbol.symbol, [quote])]
            asks = [seen.ask for seen in self._ticks.get(symbol.symbol, [quote])]
            said |= {"bid": quote.bid, "bidhigh": max(bids), "bidlow": min(bids)}
            said |= {"ask": quote.ask, "askhigh": max(asks), "asklow": min(asks)}
            said["time"] = self._terms.server_seconds(quote.ts_ns)
            said["spread"] = round((quote.ask - quote.bid) / symbol.point)
            value = item.tick * item.contract_units * self._venue.unit_value(symbol.symbol)
            said |= dict.fromkeys(("trade_tick_value", "trade_tick_value_profit", "trade_tick_value_loss"), value)
        return STRUCTURES["SymbolInfo"](**said)

    def _trading(self, symbol: SymbolTerms) -> dict[str, Any]:
        return {
            "select": symbol.is_selected,
            "visible": symbol.is_selected,
            "custom": False,
            "margin_hedged_use_leg": symbol.is_margin_by_larger_leg,
            "spread_float": True,
            "digits": symbol.digits,
            "trade_calc_mode": mt5.SYMBOL_CALC_MODE_FOREX
            if symbol.item.instrument.kind == "fx"
            else mt5.SYMBOL_CALC_MODE_CFDLEVERAGE,
            "trade_mode": symbol.trade_mode,
            "trade_stops_level": symbol.stops_level,
            "trade_freeze_level": symbol.freeze_level,
            "trade_exemode": symbol.exemode,
            "expiration_mode": symbol.expiration_mode,
            "filling_mode": symbol.filling_mode,
            "order_mode": symbol.order_mode,
            "order_gtc_mode": mt5.SYMBOL_ORDERS_GTC,
            "point": symbol.point,
            "trade_tick_size": symbol.item.instrument.tick,
            "trade_contract_size": float(symbol.contract),
            "volume_min": float(symbol.volume_min),
            "volume_max": float(symbol.volume_max),
            "volume_step": float(symbol.volume_step),
            "volume_limit": float(symbol.volume_limit),
            "margin_hedged": float(symbol.hedged_contract),
        }

    def _swaps(self, symbol: SymbolTerms) -> dict[str, Any]:
        market = self._venue.market_of(symbol.symbol)
        is_rate = bool(market.swap_is_rate)
        scale = 100.0 if is_rate else 1.0 / symbol.point
        triple = (symbol.item.instrument.triple_swap_weekday + 1) % 7
        return {
            "swap_mode": mt5.SYMBOL_SWAP_MODE_INTEREST_CURRENT if is_rate else mt5.SYMBOL_SWAP_MODE_POINTS,
            "swap_long": round(float(market.swap_long) * scale, 6),
            "swap_short": round(float(market.swap_short) * scale, 6),
            "swap_rollover3days": triple,
        }
