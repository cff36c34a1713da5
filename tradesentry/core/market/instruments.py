"""The table of instruments: what a retail broker typically publishes for each symbol.

Ticks, pips, contracts, margins, spreads and swaps are typical values for research; before real money, a broker's own
numbers replace them (`broker_specs`). Margins are the least that European retail rules ask for (1/30 majors, 1/20 other
pairs, gold and main indices, 1/10 other goods and indices, 1/2 coins). Symbols are understood in the spellings of
vendors: EUR_USD, EUR/USD, eurusd, EURUSD.m all mean EURUSD.
"""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

from tradesentry.core.domain.errors import ConfigError, nearest
from tradesentry.core.domain.instruments import Instrument, Kind
from tradesentry.core.market.symbols import canonical

_MAJORS: Final = ("EURUSD", "GBPUSD", "USDJPY", "USDCHF", "USDCAD", "AUDUSD", "NZDUSD")
_MAJOR_MARGIN, _MINOR_MARGIN, _GOODS_MARGIN, _COIN_MARGIN = 1 / 30, 1 / 20, 1 / 10, 1 / 2

# symbol: spread, swap long, swap short; pips
_PAIRS: Final = {
    "EURUSD": (0.8, -0.70, 0.25), "GBPUSD": (1.1, -0.35, -0.20), "USDJPY": (0.9, 1.10, -1.90),
    "USDCHF": (1.3, 0.60, -1.10), "USDCAD": (1.4, 0.20, -0.65), "AUDUSD": (1.0, -0.30, 0.02),
    "NZDUSD": (1.4, -0.25, -0.05),
    "EURGBP": (1.2, -0.55, 0.15), "EURJPY": (1.5, 0.80, -1.60), "EURCHF": (1.7, 0.30, -0.75),
    "EURAUD": (2.2, -0.95, 0.35), "EURCAD": (2.2, -0.70, 0.15), "EURNZD": (3.0, -1.10, 0.40),
    "GBPJPY": (2.0, 1.70, -2.80), "GBPCHF": (2.4, 0.85, -1.45), "GBPAUD": (2.8, -0.45, -0.35),
    "GBPCAD": (2.8, -0.10, -0.70), "GBPNZD": (3.8, -0.70, -0.40), "AUDJPY": (1.6, 0.70, -1.30),
    "AUDNZD": (2.2, -0.45, -0.15), "AUDCAD": (1.9, 0.00, -0.40), "AUDCHF": (2.0, 0.45, -0.80),
    "NZDJPY": (1.9, 0.65, -1.20), "NZDCAD": (2.2, -0.05, -0.40), "NZDCHF": (2.3, 0.40, -0.75),
    "CADJPY": (1.8, 0.60, -1.20), "CADCHF": (2.1, 0.35, -0.70), "CHFJPY": (2.2, -0.30, -0.70),
    "USDSEK": (40.0, 0.5, -3.5), "USDNOK": (40.0, -0.5, -2.5), "USDDKK": (20.0, 2.0, -6.0),
    "USDSGD": (2.5, 0.2, -1.0), "USDHKD": (3.0, 1.0, -4.0), "USDCNH": (15.0, 2.0, -9.0),
    "USDMXN": (50.0, -25.0, 12.0), "USDZAR": (80.0, -22.0, 9.0), "USDTRY": (250.0, -220.0, 90.0),
    "USDPLN": (20.0, -1.5, -1.0), "USDHUF": (20.0, -5.0, 1.5), "USDCZK": (20.0, 0.0, -2.5),
    "EURSEK": (35.0, -1.0, -1.5), "EURNOK": (40.0, -2.5, -0.5), "EURPLN": (20.0, -3.0, 0.5),
    "EURHUF": (20.0, -6.5, 2.5), "EURCZK": (20.0, -1.5, -1.0), "EURTRY": (300.0, -260.0, 110.0),
}  # fmt: skip

# symbol: kind, base, quote, tick, pip, contract, unit step, unit max, margin, spread, swap long, swap short; pips
_CFDS: Final[dict[str, tuple[Kind, str, str, float, float, float, float, float, float, float, float, float]]] = {
    "XAUUSD": ("metal", "XAU", "USD", 0.01, 0.1, 100, 1, 10_000, _MINOR_MARGIN, 2.0, -5.5, 2.5),
    "XAGUSD": ("metal", "XAG", "USD", 0.001, 0.01, 5_000, 50, 500_000, _GOODS_MARGIN, 2.5, -0.8, 0.2),
    "XPTUSD": ("metal", "XPT", "USD", 0.01, 0.1, 100, 1, 5_000, _GOODS_MARGIN, 25.0, -2.0, 0.3),
    "XPDUSD": ("metal", "XPD", "USD", 0.01, 0.1, 100, 1, 5_000, _GOODS_MARGIN, 60.0, -2.0, 0.3),
    "US500": ("index", "US500", "USD", 0.1, 1.0, 1, 0.1, 5_000, _MINOR_MARGIN, 0.5, -1.1, 0.3),
    "US30": ("index", "US30", "USD", 0.1, 1.0, 1, 0.1, 1_000, _MINOR_MARGIN, 2.4, -8.0, 2.0),
    "NAS100": ("index", "NAS100", "USD", 0.1, 1.0, 1, 0.1, 2_000, _MINOR_MARGIN, 1.5, -4.0, 1.0),
    "GER40": ("index", "GER40", "EUR", 0.1, 1.0, 1, 0.1, 1_000, _MINOR_MARGIN, 1.2, -3.2, 0.1),
    "UK100": ("index", "UK100", "GBP", 0.1, 1.0, 1, 0.1, 2_000, _MINOR_MARGIN, 1.2, -1.7, 0.3),
    "FRA40": ("index", "FRA40", "EUR", 0.1, 1.0, 1, 0.1, 2_000, _MINOR_MARGIN, 1.4, -1.3, 0.0),
    "EU50": ("index", "EU50", "EUR", 0.1, 1.0, 1, 0.1, 2_000, _MINOR_MARGIN, 1.6, -0.9, 0.0),
    "JP225": ("index", "JP225", "JPY", 1.0, 1.0, 1, 1, 50_000, _MINOR_MARGIN, 8.0, -3.5, -2.0),
    "AUS200": ("index", "AUS200", "AUD", 0.1, 1.0, 1, 0.1, 3_000, _MINOR_MARGIN, 1.5, -1.4, 0.2),
    "HK50": ("index", "HK50", "HKD", 1.0, 1.0, 1, 1, 10_000, _GOODS_MARGIN, 10.0, -3.2, 0.3),
    "USOIL": ("energy", "USOIL", "USD", 0.001, 0.01, 1_000, 10, 100_000, _GOODS_MARGIN, 3.0, -0.5, -0.5),
    "UKOIL": ("energy", "UKOIL", "USD", 0.001, 0.01, 1_000, 10, 100_000, _GOODS_MARGIN, 3.0, -0.4, -0.6),
    "NATGAS": ("energy", "NATGAS", "USD", 0.001, 0.001, 10_000, 100, 1_000_000, _GOODS_MARGIN, 6.0, -1.0, -0.5),
    "BTCUSD": ("crypto", "BTC", "USD", 0.01, 1.0, 1, 0.01, 100, _COIN_MARGIN, 20.0, -28.0, -8.0),
    "ETHUSD": ("crypto", "ETH", "USD", 0.01, 0.1, 1, 0.1, 1_000, _COIN_MARGIN, 15.0, -13.0, -4.0),
    "LTCUSD": ("crypto", "LTC", "USD", 0.01, 0.01, 1, 1, 10_000, _COIN_MARGIN, 30.0, -4.5, -1.5),
    "XRPUSD": ("crypto", "XRP", "USD", 0.00001, 0.0001, 1, 100, 1_000_000, _COIN_MARGIN, 40.0, -3.0, -1.0),
    "SOLUSD": ("crypto", "SOL", "USD", 0.01, 0.01, 1, 1, 10_000, _COIN_MARGIN, 20.0, -9.0, -3.0),
}  # fmt: skip

_PIP_BY_QUOTE: Final = {"JPY": 0.01, "HUF": 0.01}
_TRIPLE_ON_THURSDAY: Final = ("USDCAD", "USDTRY")
"""Pairs that settle one day after the trade instead of two."""
_FRIDAY: Final = 4

ALIASES: Final = MappingProxyType(
    {
        "GOLD": "XAUUSD", "SILVER": "XAGUSD", "SPX500": "US500", "SPX500USD": "US500", "SPXUSD": "US500",
        "US30USD": "US30", "WS30": "US30", "DJ30": "US30", "NAS100USD": "NAS100", "US100": "NAS100",
        "USTEC": "NAS100", "NSXUSD": "NAS100", "DE30": "GER40", "DE40": "GER40", "GER30": "GER40", "DAX40": "GER40",
        "DE30EUR": "GER40", "GRXEUR": "GER40", "UK100GBP": "UK100", "FTSE100": "UK100", "FR40": "FRA40",
        "FR40EUR": "FRA40", "STOXX50": "EU50", "EU50EUR": "EU50", "JP225USD": "JP225", "JPN225": "JP225",
        "AU200": "AUS200", "AU200AUD": "AUS200", "HK33": "HK50", "HK33HKD": "HK50", "XTIUSD": "USOIL",
        "WTICOUSD": "USOIL", "WTI": "USOIL", "XBRUSD": "UKOIL", "BCOUSD": "UKOIL", "BRENT": "UKOIL",
        "XNGUSD": "NATGAS", "NATGASUSD": "NATGAS", "BITCOIN": "BTCUSD", "XBTUSD": "BTCUSD",
    }
)  # fmt: skip
_SUFFIXES: Final = frozenset(
    ("M", "C", "I", "R", "S", "Z", "X", "PRO", "RAW", "ECN", "STD", "STP", "SB", "CASH", "MINI", "MICRO", "SPOT", "CFD")
)
"""Endings that brokers append to a symbol for an account type."""


def _pair(symbol: str, spread: float, swap_long: float, swap_short: float) -> Instrument:
    base, quote = symbol[:3], symbol[3:]
    pip = _PIP_BY_QUOTE.get(quote, 0.0001)
    return Instrument(
        symbol=symbol,
        kind="fx",
        base=base,
        quote=quote,
        tick=round(pip / 10, 6),
        pip=pip,
        margin_fraction=_MAJOR_MARGIN if symbol in _MAJORS else _MINOR_MARGIN,
        typical_spread_pips=spread,
        swap_long_pips=swap_long,
        swap_short_pips=swap_short,
        triple_swap_weekday=3 if symbol in _TRIPLE_ON_THURSDAY else 2,
    )


def _cfd(symbol: str) -> Instrument:
    kind, base, quote, tick, pip, contract, step, largest, margin, spread, swap_long, swap_short = _CFDS[symbol]
    return Instrument(
        symbol=symbol,
        kind=kind,
        base=base,
        quote=quote,
        tick=tick,
        pip=pip,
        contract_units=float(contract),
        unit_step=float(step),
        unit_min=float(step),
        unit_max=float(largest),
        margin_fraction=margin,
        typical_spread_pips=spread,
        swap_long_pips=swap_long,
        swap_short_pips=swap_short,
        triple_swap_weekday=2 if kind == "metal" else _FRIDAY,
        is_always_open=kind == "crypto",
    )


INSTRUMENTS: Final = MappingProxyType(
    {symbol: _pair(symbol, *costs) for symbol, costs in _PAIRS.items()} | {symbol: _cfd(symbol) for symbol in _CFDS}
)
"""Instruments by canonical symbol."""


@cache
def canonical_symbol(symbol: str) -> str:
    """Return the canonical name of a symbol in any vendor's spelling; a name nobody knows comes back cleaned up.

    Args:
        symbol: EUR_USD, EUR/USD, eurusd, #EURUSD, EURUSD.m, EURUSDpro, SPX500_USD, ...
    """
    text = canonical(symbol)
    plain = text.split(".")[0] or text.replace(".", "")
    for name in (plain, text.replace(".", "")):
        if name in INSTRUMENTS:
            return name
        if name in ALIASES:
            return ALIASES[name]
    for n in range(len(plain) - 1, 2, -1):
        head, tail = plain[:n], plain[n:]
        if tail in _SUFFIXES and (head in INSTRUMENTS or head in ALIASES):
            return ALIASES.get(head, head)
    return plain


def instrument(symbol: str, *, specs: Mapping[str, Mapping[str, Any]] | None = None) -> Instrument:
    """Return the instrument of a symbol.

    Args:
        symbol: In any vendor's spelling.
        specs: What a broker publishes: field values by symbol, which replace the table's. A symbol that the table
            lacks needs `kind`, `base`, `quote`, `tick` and `pip`.

    Raises:
        ConfigError: An unknown symbol or field, or numbers that contradict each other.
    """
    name = canonical_symbol(symbol)
    given = {canonical_symbol(key): value for key, value in (specs or {}).items()}
    known = INSTRUMENTS.get(name)
    if name in given:
        return _with_specs(name, known, given[name])
    if known is None:
        raise ConfigError(
            f"Instrument {symbol!r} is unknown. {nearest(name, (*INSTRUMENTS, *given))} "
            "Describe another one in a broker specification file."
        )
    return known


def _with_specs(symbol: str, known: Instrument | None, values: Mapping[str, Any]) -> Instrument:
    names = {field.name for field in fields(Instrument)} - {"symbol"}
    for key in values:
        if key not in names:
            raise ConfigError(f"Instrument {symbol} has no field {key!r}. {nearest(str(key), names)}")
    required = {"kind", "base", "quote", "tick", "pip"}
    if known is None and not required <= values.keys():
        missing = ", ".join(sorted(required - values.keys()))
        raise ConfigError(f"Instrument {symbol} is not in the table, and its specification lacks {missing}. Add them.")
    result = replace(known, **values) if known else Instrument(symbol=symbol, **values)
    return _checked(result)


def _is_multiple(value: float, step: float) -> bool:
    return math.isclose(value / step, round(value / step), rel_tol=0, abs_tol=1e-6)


def _checked(item: Instrument) -> Instrument:
    """Return the instrument when its numbers agree with each other."""
    numbers = {field.name: getattr(item, field.name) for field in fields(item) if field.type in (float, int)}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f"Instrument {item.symbol}: {name} is {value!r}. Give a finite number.")
    rules = (
        (item.kind in get_args(Kind), f"kind {item.kind!r} is not one of {', '.join(get_args(Kind))}"),
        (min(item.tick, item.pip, item.unit_step, item.unit_min, item.contract_units) > 0, "a size is not above 0"),
        (item.tick > 0 and _is_multiple(item.pip, item.tick), f"pip {item.pip} is no multiple of tick {item.tick}"),
        (
            item.unit_step > 0 and _is_multiple(item.unit_min, item.unit_step),
            f"unit_min {item.unit_min} is no multiple of unit_step {item.unit_step}",
        ),
        (item.unit_max >= item.unit_min, f"unit_max {item.unit_max} is below unit_min {item.unit_min}"),
        (0 < item.margin_fraction <= 1, f"margin_fraction {item.margin_fraction} is not in (0, 1]"),
        (item.typical_spread_pips >= 0 and item.min_stop_pips >= 0, "a spread or stop distance is negative"),
        (0 <= item.triple_swap_weekday <= 6, f"triple_swap_weekday {item.triple_swap_weekday} is not 0 to 6"),
    )
    for is_right, problem in rules:
        if not is_right:
            raise ConfigError(f"Instrument {item.symbol} cannot be used: {problem}. Correct its specification.")
    return item


def broker_specs(path: Path) -> dict[str, dict[str, Any]]:
    """Read a broker's specification file: YAML, field values by symbol.

    Raises:
        ConfigError: Not such a mapping; fields are checked by `instrument`.
    """
    # YAML is read only where a user has such a file; a cold start does without.
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}. Write `SYMBOL: {{field: value}}`.") from error
    if not isinstance(document, dict) or not all(isinstance(value, dict) for value in document.values()):
        raise ConfigError(f"{path} is not a broker specification. Write `SYMBOL: {{field: value}}`, e.g. `EURUSD:`.")
    return {str(symbol): dict(values) for symbol, values in document.items()}
