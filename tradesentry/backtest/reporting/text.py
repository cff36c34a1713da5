"""Words and numbers as people read them: signs, units, and plain phrases for every code.

Separate so that report, command line and API say the same. Rules: true minus, plus on profit and R only, percent with
one decimal (two below 1 %), ratios with two, an em dash for the unknown and never a zero in its place.
"""

import math
from typing import Any, Final

UNKNOWN: Final = "—"
MINUS: Final = "\N{MINUS SIGN}"

EXIT_WORDS: Final = {
    "none": "still open",
    "stop_loss": "stop loss",
    "take_profit": "take profit",
    "strategy": "closed by the strategy",
    "time": "time limit",
    "weekend": "before the weekend",
    "break_even": "stop at break-even",
    "trailing": "trailing stop",
    "margin": "margin stop-out",
    "daily_loss": "daily loss limit",
    "drawdown": "drawdown limit",
    "news": "before news",
    "end_of_data": "end of the data",
}
REJECT_WORDS: Final = {
    "trading_state": "the account was not allowed to open trades",
    "market_locked": "the market was locked after a loss",
    "session": "outside trading hours or near the weekend",
    "news": "close to scheduled news",
    "no_stop": "no stop loss given",
    "stop_side": "stop loss on the wrong side",
    "stop_too_near": "stop loss nearer than the broker allows",
    "target_side": "take profit on the wrong side",
    "entry_side": "entry price on the wrong side of the market",
    "not_finite": "a price or size that is no number",
    "expired": "already expired when asked",
    "spread": "spread too wide",
    "duplicate": "the same entry was already there",
    "size_below_minimum": "smaller than the minimum size",
    "no_edge": "sizing found no edge",
    "max_positions": "too many positions in the account",
    "max_per_market": "too many positions in the market",
    "trade_rate": "too many trades in one day",
    "max_notional": "order larger than allowed",
    "open_risk": "total open risk at its limit",
    "currency_net": "net exposure to one currency at its limit",
    "currency_gross": "gross exposure to one currency at its limit",
    "leverage": "leverage at its limit",
    "cluster_risk": "risk of related markets at its limit",
    "margin": "not enough free margin",
    "open_too_far": "the next bar opened too far away",
    "data_gap": "a gap in the data lay between",
    "gap_beyond_stop": "price jumped past entry and stop",
    "unknown_target": "the position or order no longer existed",
    "loosens_stop": "would have moved a stop away",
    "ambiguous_bar": "one bar reached both sides of a bracket",
    "sibling_filled": "the other side of the bracket filled",
    "order_expired": "the resting order expired unfilled",
    "idea_risk": "risk of one trade above its limit",
    "app_risk": "risk of the strategy at its limit",
    "end_of_data": "the data ended first",
    "shrunk": "executed smaller than asked",
    "quota": "enough other markets were entered",
}
COLUMN_WORDS: Final = {
    "n_trades": "Trades",
    "win_rate": "Win rate",
    "mean_r": "Mean R",
    "profit_factor": "Profit factor",
    "net": "Net",
}
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
INTRABAR_WORDS: Final = {
    "pessimistic": (
        "The path inside a bar was unknown and taken at its worst: when a bar reaches both stop and target, the stop "
        "came first, and a position entered inside a bar may be stopped on it but never takes its profit there."
    ),
    "m1": "The path inside a bar was resolved on one-minute bars; inside a minute the stop came before the target.",
    "tick": "The path inside a bar was resolved on ticks.",
}
FILL_RULES: Final = (
    "Bars are bid prices; a buy pays bid plus spread, a short is stopped and closed at the ask.",
    "A decision on a closed bar works from the open of the next bar, never earlier.",
    "A gap through a stop fills at the open, worse than the stop. Limits fill only when price trades through them.",
)


def plain_exit(code: str) -> str:
    """Return an exit reason in words."""
    return EXIT_WORDS.get(code.lower(), code.replace("_", " ").lower())


def plain_reject(code: str) -> str:
    """Return a refusal code in words."""
    return REJECT_WORDS.get(code.lower(), code.replace("_", " ").lower())


def number(value: Any, digits: int, *, is_signed: bool = False) -> str:
    """Return a number with thousands separators and a true minus; an em dash for None and nan.

    Args:
        value: The number, or None.
        digits: After the point.
        is_signed: Also show a plus; zero never has a sign.
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    text = f"{abs(value):,.{digits}f}"
    is_zero = not any(character in "123456789" for character in text)
    if is_zero:
        return text
    return (MINUS if value < 0 else "+" if is_signed else "") + text


def percent(value: Any, *, is_signed: bool = False) -> str:
    """Return a fraction as percent: one decimal, two below 1 %."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return number(100 * value, 2 if abs(value) < 0.01 and value else 1, is_signed=is_signed) + " %"


def r_multiple(value: Any) -> str:
    """Return an R-multiple with sign and two decimals."""
    text = number(value, 2, is_signed=True)
    return text if text == UNKNOWN else f"{text} R"


def money(value: Any, currency: str, *, is_signed: bool = False) -> str:
    """Return an amount with its currency after it: no decimals from 10,000 on, two below."""
    digits = 0 if value is not None and math.isfinite(value) and abs(value) >= 10_000 else 2
    text = number(value, digits, is_signed=is_signed)
    return text if text == UNKNOWN else f"{text} {currency}"


SIGNED_KEYS: Final = frozenset(
    (
        *("net_profit", "total_return", "cagr", "profit_before_costs"),
        *(f"{side}_{span}" for side in ("best", "worst") for span in ("day", "week", "month")),
    )
)
"""Figures that are profit or loss and show a plus."""


def figure(value: Any, unit: str, currency: str, *, key: str = "") -> str:
    """Return a metric of `evaluation.METRICS` as text with its unit.

    Args:
        value: The figure, or None.
        unit: Of the metric.
        currency: Of the account.
        key: Of the metric; profit and loss show their sign.
    """
    if value is None:
        return UNKNOWN
    is_signed = key in SIGNED_KEYS
    if unit == "fraction":
        return percent(value, is_signed=is_signed)
    if unit == "R":
        return r_multiple(value)
    if unit == "money":
        return money(value, currency, is_signed=is_signed)
    if unit == "count":
        return number(value, 0)
    if unit in ("days", "hours"):
        return f"{number(value, 0 if abs(value) >= 10 else 1)} {unit}"
    return number(value, 2)
