"""Turn a strategy's configuration into the RULES that `settle` and `decide` apply on one market."""

from typing import Any

from tradesentry.core.execution.setup import new_rules
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.strategy.base_strategy import StrategyConfig


def rules_of(config: StrategyConfig, *, pip: float, warmup_bars: int = 0, is_always_open: bool = False) -> Any:
    """Return the RULES record that a configuration stands for on a market.

    Args:
        config: Configuration of a strategy.
        pip: Of the market.
        warmup_bars: Bars before which nothing is entered.
        is_always_open: The market has no week end to be flat at.
    """
    return new_rules(
        bar_ns=timeframe_ns(config.timeframe),
        pip=pip,
        warmup_bars=warmup_bars,
        weekend="hold" if is_always_open else config.weekend,
        weekend_lead=config.weekend_lead,
        weekend_no_entry=config.weekend_no_entry,
        news=config.news,
        require_calendar=config.require_calendar,
        flatten_before=config.flatten_before,
        max_spread=config.max_spread,
        target_volatility=config.target_volatility,
        kelly_cap=config.kelly_cap,
    )[0]
