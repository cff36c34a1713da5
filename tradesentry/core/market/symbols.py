"""Say what a symbol's name alone tells: its currencies and the prices it may plausibly have.

For files from strangers, before any instrument table or broker is known: an importer must notice a USDJPY at 81,121.
"""

from typing import Final

_USD_VALUE: Final = {
    "USD": 1.0, "EUR": 1.15, "GBP": 1.4, "AUD": 0.72, "NZD": 0.65, "CAD": 0.78, "CHF": 1.05, "JPY": 0.0085,
    "SEK": 0.11, "NOK": 0.11, "DKK": 0.15, "SGD": 0.74, "HKD": 0.128, "MXN": 0.06, "ZAR": 0.07, "TRY": 0.15,
    "PLN": 0.26, "HUF": 0.0033, "CZK": 0.045, "CNH": 0.147, "CNY": 0.147, "ILS": 0.28, "THB": 0.03, "RUB": 0.018,
}  # fmt: skip
"""Rough middle of what one unit was worth in dollars since 2000."""

_MAX_FACTOR: Final = {"TRY": 12.0, "RUB": 6.0, "MXN": 4.0, "ZAR": 4.0}
_USUAL_FACTOR: Final = 3.5
"""How far a cross may lie from its rough middle; below 10, so that a wrong power of ten always shows."""

_RANGES: Final = {
    "XAUUSD": (200.0, 12_000.0), "XAGUSD": (3.0, 300.0), "XPTUSD": (300.0, 5_000.0), "XPDUSD": (100.0, 6_000.0),
    "US30": (6_000.0, 120_000.0), "US500": (600.0, 15_000.0), "SPXUSD": (600.0, 15_000.0),
    "NAS100": (800.0, 60_000.0), "US100": (800.0, 60_000.0), "GER40": (2_000.0, 60_000.0),
    "DE40": (2_000.0, 60_000.0), "UK100": (3_000.0, 20_000.0), "JP225": (6_500.0, 120_000.0),
    "USOIL": (5.0, 250.0), "UKOIL": (8.0, 250.0), "XTIUSD": (5.0, 250.0), "XBRUSD": (8.0, 250.0),
}  # fmt: skip


def canonical(symbol: str) -> str:
    """Return a symbol without separators, in capitals: EUR/USD, eur_usd and EUR-USD are EURUSD."""
    return "".join(character for character in symbol.upper() if character.isalnum() or character == ".")


def is_fx_pair(symbol: str) -> bool:
    """Return whether the symbol names two currencies."""
    return len(symbol) == 6 and symbol[:3] in _USD_VALUE and symbol[3:] in _USD_VALUE


def keeps_fx_week(symbol: str) -> bool:
    """Return whether the market surely closes from Friday to Sunday 17:00 New York: currencies and metals."""
    return is_fx_pair(symbol) or symbol[:3] in ("XAU", "XAG")


def plausible_prices(symbol: str) -> tuple[float, float] | None:
    """Return the lowest and highest price that can be true for a symbol; None where the name does not tell."""
    if symbol in _RANGES:
        return _RANGES[symbol]
    if not is_fx_pair(symbol):
        return None
    middle = _USD_VALUE[symbol[:3]] / _USD_VALUE[symbol[3:]]
    factor = max(_MAX_FACTOR.get(symbol[:3], _USUAL_FACTOR), _MAX_FACTOR.get(symbol[3:], _USUAL_FACTOR))
    return middle / factor, middle * factor
