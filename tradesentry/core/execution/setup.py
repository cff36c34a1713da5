"""Turn instruments, cost profiles and limits into the records that kernels read.

The one place where pips become prices and lots become units. Python only; every driver (back-test, paper, live) builds
its MARKET, ACCOUNT and RULES records here.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.domain.errors import ConfigError, nearest
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import ACCOUNT, HOURS_PER_WEEK, N_CURRENCIES, RULES
from tradesentry.core.execution.costs import Conversion
from tradesentry.core.utils.config_model import FrozenModel
from tradesentry.core.utils.kernel import new_records, plain_record

NS_PER_MINUTE = 60_000_000_000
QUIET_HOURS = {20: 1.5, 21: 2.5, 22: 2.0, 23: 1.4, 0: 1.2, 1: 1.1, 2: 1.1, 3: 1.1, 4: 1.1, 5: 1.1}
"""Factor on the typical spread by UTC hour; London and New York hours count 1."""


class CostProfile(FrozenModel):
    """What trading costs at a kind of broker."""

    description: str = Field("", description="For whom this profile is.")
    commission_per_lot: float = Field(0.0, ge=0, description="Account currency per standard lot and side.")
    commission_per_million: float = Field(0.0, ge=0, description="Account currency per million of notional and side.")
    commission_min: float = Field(0.0, ge=0, description="Least commission per side, account currency.")
    spread_factor: float = Field(1.0, ge=0, description="Multiple of the typical spread, where data carry none.")
    min_spread_factor: float = Field(0.0, ge=0, description="Least spread of any bar, multiple of the typical one.")
    rollover_factor: float = Field(3.0, ge=1, description="Multiple around 17:00 New York and after news starts.")
    slippage_pips: float = Field(0.1, ge=0, description="Expected slippage of a market or stop fill, pips.")
    slippage_atr: float = Field(0.0, ge=0, le=1, description="Part of ATR(14) added to it.")
    slippage_seed: int = Field(0, ge=0, description="0: the expected slippage; else seeded random draws.")
    swap_factor: float = Field(1.0, ge=0, description="Multiple of the instrument's swap points.")


class LimitSettings(FrozenModel):
    """What an account may risk. Fractions of equity unless said otherwise."""

    is_on: bool = Field(True, description="False: sizing and margin only, for research.")
    max_idea_risk: float = Field(0.02, gt=0, le=0.02, description="Most that one entry may lose at its stop.")
    max_open_risk: float = Field(0.03, gt=0, le=1, description="Sum over positions, orders and queued entries.")
    max_app_risk: float = Field(1.0, gt=0, le=1, description="Share of it that one app may use; 0.5 with several apps.")
    max_currency_net: float = Field(2.0, gt=0, description="Net notional of a currency, multiple of equity.")
    max_currency_gross: float = Field(6.0, gt=0, description="Gross notional of a currency, multiple of equity.")
    max_currency_risk: float = Field(0.025, gt=0, le=1, description="Net risk of a currency leg.")
    max_cluster_risk: float = Field(0.015, gt=0, le=1, description="Risk of a cluster of correlated markets.")
    max_leverage: float = Field(10.0, gt=0, description="Gross notional, multiple of equity.")
    min_free_margin: float = Field(0.2, ge=0, le=1, description="Margin left free after an entry.")
    max_notional: float = Field(float("inf"), gt=0, description="Most of one order, account currency.")
    max_positions: int = Field(40, ge=1, description="Positions, orders and queued entries of the account.")
    max_per_market: int = Field(20, ge=1, description="Of them on one market.")
    max_trades_per_day: int = Field(200, ge=1, description="Positions opened in one FX day.")
    daily_loss: float = Field(0.03, gt=0, le=1, description="Loss since 17:00 New York that flattens until the next.")
    market_daily_loss: float = Field(0.015, gt=0, le=1, description="The same for one market.")
    drawdown_warn: float = Field(0.05, gt=0, le=1, description="Drawdown that is reported.")
    drawdown_reduce: float = Field(0.10, gt=0, le=1, description="Drawdown after which nothing new is opened.")
    drawdown_halt: float = Field(0.15, gt=0, le=1, description="Drawdown that flattens and halts the account.")
    stop_out_level: float = Field(0.5, ge=0, le=1, description="Equity over margin used below which losers are closed.")
    currency_net_shrinks: bool = Field(True, description="Make an entry smaller instead of refusing it.")
    open_risk_shrinks: bool = Field(True, description="Make an entry smaller instead of refusing it.")


LIMIT_PROFILES: Mapping[str, LimitSettings] = {
    "default": LimitSettings(),
    "prop": LimitSettings(daily_loss=0.02, market_daily_loss=0.01, drawdown_reduce=0.04, drawdown_halt=0.05),
    "off": LimitSettings(is_on=False),
}


@cache
def cost_profiles() -> dict[str, CostProfile]:
    """Return the shipped cost profiles by name."""
    import yaml

    text = files("tradesentry.core.execution").joinpath("cost_profiles.yaml").read_text(encoding="utf-8")
    return {name: CostProfile(**values) for name, values in yaml.safe_load(text).items()}


def cost_profile(name: str) -> CostProfile:
    """Return a shipped cost profile.

    Raises:
        ConfigError: There is no profile of that name.
    """
    profiles = cost_profiles()
    if name not in profiles:
        raise ConfigError(f"There is no cost profile {name!r}. {nearest(name, profiles)}")
    return profiles[name]


def limit_profile(name: str) -> LimitSettings:
    """Return a shipped set of limits.

    Raises:
        ConfigError: There is no set of that name.
    """
    if name not in LIMIT_PROFILES:
        raise ConfigError(f"There are no limits {name!r}. {nearest(name, LIMIT_PROFILES)}")
    return LIMIT_PROFILES[name]


def _spread_floor(item: Instrument, costs: CostProfile) -> np.ndarray[Any, Any]:
    by_hour = np.array([QUIET_HOURS.get(hour % 24, 1.0) for hour in range(HOURS_PER_WEEK)])
    return by_hour * item.typical_spread_pips * item.pip * costs.spread_factor


def fill_market(
    record: Any, item: Instrument, costs: CostProfile, *, index: int, currencies: Sequence[str], cost_scale: float = 1.0
) -> None:
    """Write the numbers of an instrument and its costs into a MARKET record; calendar and conversion come after.

    Args:
        record: MARKET.
        item: The instrument.
        costs: Cost profile.
        index: Row of the market in the run.
        currencies: Currency table of the account; `index()` in it is the currency's number.
        cost_scale: 0, 1 or 2 times the costs.
    """
    record.index = index
    record.tick, record.pip, record.contract_units = item.tick, item.pip, item.contract_units
    record.unit_step, record.unit_min, record.unit_max = item.unit_step, item.unit_min, item.unit_max
    record.margin_fraction = item.margin_fraction
    record.min_stop_distance = item.min_stop_pips * item.pip
    record.commission_per_unit = costs.commission_per_lot / item.contract_units
    record.commission_fraction = costs.commission_per_million / 1e6
    record.commission_min = costs.commission_min
    record.slippage_mean = costs.slippage_pips * item.pip
    record.slippage_atr, record.slippage_seed = costs.slippage_atr, costs.slippage_seed
    record.swap_long = item.swap_long_pips * item.pip * costs.swap_factor
    record.swap_short = item.swap_short_pips * item.pip * costs.swap_factor
    nights = np.ones(7)
    nights[item.triple_swap_weekday] = 3.0
    nights[5:] = 1.0 if item.is_always_open else 0.0
    record.swap_day_weights = np.ones(7) if item.is_always_open else nights
    record.min_spread = costs.min_spread_factor * item.typical_spread_pips * item.pip
    record.spread_floor = _spread_floor(item, costs)
    record.spread_mult = costs.rollover_factor
    record.cost_scale = cost_scale
    record.base_currency, record.quote_currency = currencies.index(item.base), currencies.index(item.quote)
    record.cross_index = -1


def currency_table(items: Sequence[Instrument], account_currency: str) -> list[str]:
    """Return the currencies of a run, the account's first.

    Raises:
        ConfigError: More currencies than an account's exposure has rows.
    """
    names = list(dict.fromkeys([account_currency, *(c for item in items for c in (item.base, item.quote))]))
    if len(names) > N_CURRENCIES:
        raise ConfigError(
            f"The run needs {len(names)} currencies and an account holds {N_CURRENCIES}. Use fewer symbols, or raise "
            "N_CURRENCIES in tradesentry/core/domain/records.py."
        )
    return names


def conversion_symbols(item: Instrument, account_currency: str) -> tuple[str, ...]:
    """Return the symbols that could convert the quote currency of `item`; empty when it needs none."""
    if account_currency in (item.quote, item.base):
        return ()
    return (item.quote + account_currency, account_currency + item.quote)


def fill_conversion(
    record: Any, item: Instrument, *, account_currency: str, rows: Mapping[str, int], rates: Mapping[str, float]
) -> None:
    """Write how the quote currency of a market becomes account currency.

    Args:
        record: MARKET.
        item: The instrument.
        account_currency: ISO code.
        rows: Row of every market of the run, by symbol.
        rates: Fixed rates by currency, account currency per unit; used where no market converts.

    Raises:
        ConfigError: Nothing converts the currency.
    """
    record.fixed_rate = 1.0
    if item.quote == account_currency:
        record.conversion = Conversion.FIXED
    elif item.base == account_currency:
        record.conversion = Conversion.OWN_PRICE
    elif item.quote + account_currency in rows:
        record.conversion, record.cross_index = Conversion.CROSS_MULTIPLY, rows[item.quote + account_currency]
    elif account_currency + item.quote in rows:
        record.conversion, record.cross_index = Conversion.CROSS_DIVIDE, rows[account_currency + item.quote]
    elif item.quote in rates:
        record.conversion, record.fixed_rate = Conversion.FIXED, rates[item.quote]
    else:
        wanted = " or ".join(conversion_symbols(item, account_currency))
        raise ConfigError(
            f"{item.symbol} earns {item.quote} and the account holds {account_currency}: nothing converts it. Import "
            f"{wanted} of the same source, or give a fixed rate with --rate {item.quote}=…"
        )


def new_account(capital: float, limits: LimitSettings, *, n_currencies: int, equity_step_ns: int) -> Any:
    """Return the ACCOUNT of a run before its first bar, shape (1,).

    Args:
        capital: Start balance, account currency.
        limits: What it may risk.
        n_currencies: Length of the currency table; the account's own is row 0.
        equity_step_ns: Least time between two equity points.

    Raises:
        ConfigError: The capital is not positive.
    """
    if not capital > 0:
        raise ConfigError(f"Capital is {capital}; it must be positive. Set it with --capital 10000.")
    account = new_records(1, ACCOUNT)
    row = plain_record(account)
    for name in ("balance", "equity", "worst_equity", "free_margin", "peak_equity", "day_start_equity"):
        row[name] = capital
    row["n_currencies"], row["equity_step_ns"] = n_currencies, equity_step_ns
    row["kelly_fraction"] = np.nan
    allowed = row["limits"]
    for name in type(limits).model_fields:
        allowed[name] = getattr(limits, name)
    return account


def new_rules(
    *,
    bar_ns: int,
    pip: float,
    warmup_bars: int = 0,
    weekend: Literal["flatten", "hold"] = "flatten",
    weekend_lead: int = 0,
    weekend_no_entry: int = 120,
    news: bool = False,
    require_calendar: bool = False,
    flatten_before: bool = False,
    max_spread: float | None = None,
    target_volatility: float | None = None,
    kelly_cap: bool = False,
) -> Any:
    """Return the RULES that `settle` and `decide` apply for a strategy, shape (1,).

    Args:
        bar_ns: Nominal length of an execution bar.
        pip: Pip of the market, for `max_spread`.
        warmup_bars: Bars before which intents are ignored.
        weekend: Flatten before Friday 17:00 New York, or hold.
        weekend_lead: Minutes before it.
        weekend_no_entry: Minutes before it without entries.
        news: Keep out around scheduled news.
        require_calendar: No entry where the news calendar does not reach.
        flatten_before: Close when a blackout begins.
        max_spread: Pips; None any.
        target_volatility: Annual, None off.
        kelly_cap: Lower the risk by a quarter of Kelly.
    """
    rules = new_records(1, RULES)
    row = plain_record(rules)
    row["bar_ns"], row["warmup_bars"] = bar_ns, warmup_bars
    row["weekend_flatten"] = weekend == "flatten"
    row["weekend_lead_ns"] = weekend_lead * NS_PER_MINUTE
    row["no_entry_lead_ns"] = weekend_no_entry * NS_PER_MINUTE
    row["uses_news"], row["requires_calendar"], row["news_flatten"] = news, require_calendar, flatten_before
    row["max_spread"] = (max_spread or 0.0) * pip
    row["target_volatility"] = target_volatility or 0.0
    row["kelly_cap"] = kelly_cap
    return rules
