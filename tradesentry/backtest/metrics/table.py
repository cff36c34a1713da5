"""The list of metrics: key, name, unit, meaning, source. One table feeds summary, report, command line and API."""

from dataclasses import dataclass
from typing import Final, Literal

Group = Literal["return", "risk", "ratio", "trade", "cost", "basket"]
Unit = Literal["fraction", "ratio", "R", "count", "days", "hours", "money"]

REASONS: Final = {
    "trades": "no trades",
    "two_trades": "fewer than two trades",
    "wins": "no winning trade",
    "losses": "no losing trade",
    "r": "no trade has an R-multiple: none had a stop at entry",
    "two_r": "fewer than two trades with an R-multiple",
    "r_varies": "all R-multiples are equal",
    "weeks": "trades in fewer than 8 weeks",
    "days": "fewer than two FX days",
    "positive": "equity fell to zero or below",
    "varies": "daily returns do not vary",
    "losing_days": "no losing day",
    "span": "less than 30 days",
    "drawdown": "no drawdown",
    "recovered": "the deepest drawdown was not recovered",
    "profit_before_costs": "the trades earned nothing before costs",
    "intents": "nothing was asked for",
    "baskets": "no baskets",
    "stopped_baskets": "no winning or no fully stopped basket",
    "period": "the period has no open market time",
}
"""What has to hold for a metric to be defined, and the words for when it does not."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a summary."""

    key: str
    label: str
    unit: Unit
    group: Group
    description: str
    source: str = "arithmetic"
    needs: tuple[str, ...] = ()
    """Conditions of `REASONS` in order; the first that fails explains a missing value."""


_CURVE = ("positive", "days")
_RATIO = ("positive", "days", "varies")

METRICS: Final = (
    Metric("final_equity", "Final equity", "money", "return", "Equity at the end, open positions marked to market."),
    Metric("net_profit", "Net profit", "money", "return", "Final equity minus capital."),
    Metric("total_return", "Total return", "fraction", "return", "Final equity over capital, minus 1."),
    Metric(
        "cagr",
        "Annual growth",
        "fraction",
        "return",
        "Compound growth per calendar year.",
        "GIPS 2020",
        ("positive", "span"),
    ),
    Metric("best_day", "Best day", "fraction", "return", "FX day, 17:00 New York.", needs=_CURVE),
    Metric("worst_day", "Worst day", "fraction", "return", "FX day, 17:00 New York.", needs=_CURVE),
    Metric("best_week", "Best week", "fraction", "return", "FX week.", needs=_CURVE),
    Metric("worst_week", "Worst week", "fraction", "return", "FX week.", needs=_CURVE),
    Metric("best_month", "Best month", "fraction", "return", "Calendar month of FX days.", needs=_CURVE),
    Metric("worst_month", "Worst month", "fraction", "return", "Calendar month of FX days.", needs=_CURVE),
    Metric(
        "exposure",
        "Time in the market",
        "fraction",
        "return",
        "Share of open market time with a position.",
        needs=("period",),
    ),
    Metric("volatility", "Volatility", "fraction", "risk", "Deviation of daily returns, per year.", needs=_CURVE),
    Metric(
        "max_drawdown",
        "Maximum drawdown",
        "fraction",
        "risk",
        "Deepest fall below the peak, at the adverse extreme inside bars.",
        "Magdon-Ismail & Atiya 2004",
    ),
    Metric("drawdown_days", "Drawdown length", "days", "risk", "Peak to recovery of the deepest one, or to the end."),
    Metric(
        "recovery_days",
        "Drawdown recovery",
        "days",
        "risk",
        "Trough of the deepest drawdown to a new peak.",
        needs=("recovered",),
    ),
    Metric(
        "ulcer_index",
        "Ulcer index",
        "fraction",
        "risk",
        "Root mean square of daily drawdowns.",
        "Martin & McCann 1989",
        ("days",),
    ),
    Metric(
        "var_95", "VaR 95 %", "fraction", "risk", "Daily return that 1 day in 20 falls below.", "Jorion 2006", _CURVE
    ),
    Metric(
        "var_99", "VaR 99 %", "fraction", "risk", "Daily return that 1 day in 100 falls below.", "Jorion 2006", _CURVE
    ),
    Metric(
        "cvar_95",
        "CVaR 95 %",
        "fraction",
        "risk",
        "Mean of the worst 5 % of days.",
        "Rockafellar & Uryasev 2000",
        _CURVE,
    ),
    Metric(
        "cvar_99",
        "CVaR 99 %",
        "fraction",
        "risk",
        "Mean of the worst 1 % of days.",
        "Rockafellar & Uryasev 2000",
        _CURVE,
    ),
    Metric(
        "downside_deviation",
        "Downside deviation",
        "fraction",
        "risk",
        "Root mean square of losing days, per year.",
        "Sortino & van der Meer 1991",
        _CURVE,
    ),
    Metric(
        "tail_ratio",
        "Tail ratio",
        "ratio",
        "risk",
        "95th over 5th percentile of daily returns.",
        "empyrical",
        (*_CURVE, "losing_days"),
    ),
    Metric("sharpe", "Sharpe ratio", "ratio", "ratio", "Per year, risk-free rate 0.", "Sharpe 1994", _RATIO),
    Metric(
        "sharpe_error", "Sharpe standard error", "ratio", "ratio", "For independent returns.", "Lo 2002, eq. 9", _RATIO
    ),
    Metric(
        "sharpe_adjusted",
        "Sharpe, autocorrelation-adjusted",
        "ratio",
        "ratio",
        "Corrected for serially correlated days.",
        "Lo 2002, eq. 20",
        _RATIO,
    ),
    Metric(
        "sortino",
        "Sortino ratio",
        "ratio",
        "ratio",
        "Mean over downside deviation.",
        "Sortino & Price 1994",
        (*_CURVE, "losing_days"),
    ),
    Metric(
        "calmar",
        "Calmar ratio",
        "ratio",
        "ratio",
        "Annual growth over maximum drawdown, last 36 months.",
        "Young 1991",
        ("positive", "span", "drawdown"),
    ),
    Metric(
        "mar",
        "MAR ratio",
        "ratio",
        "ratio",
        "Annual growth over maximum drawdown since the start.",
        "Managed Account Reports",
        ("positive", "span", "drawdown"),
    ),
    Metric(
        "omega",
        "Omega ratio",
        "ratio",
        "ratio",
        "Sum of gains over sum of losses of days.",
        "Keating & Shadwick 2002",
        (*_CURVE, "losing_days"),
    ),
    Metric("n_trades", "Trades", "count", "trade", "Closed round trips."),
    Metric("n_long", "Long trades", "count", "trade", "Of them bought first."),
    Metric("n_short", "Short trades", "count", "trade", "Of them sold first."),
    Metric("win_rate", "Win rate", "fraction", "trade", "Share of trades with net > 0.", needs=("trades",)),
    Metric(
        "payoff",
        "Payoff ratio",
        "ratio",
        "trade",
        "Mean win over mean loss.",
        "Vince 1990",
        ("trades", "wins", "losses"),
    ),
    Metric(
        "zero_edge_win_rate",
        "Break-even win rate",
        "fraction",
        "trade",
        "1 / (1 + payoff): what this payoff needs to earn nothing.",
        needs=("trades", "wins", "losses"),
    ),
    Metric(
        "profit_factor",
        "Profit factor",
        "ratio",
        "trade",
        "Sum of wins over sum of losses.",
        "Schwager 1984",
        ("trades", "losses"),
    ),
    Metric(
        "mean_r", "Expectancy", "R", "trade", "Mean R-multiple per trade, after costs.", "Tharp 1998", ("trades", "r")
    ),
    Metric(
        "mean_r_low",
        "Expectancy, lower bound",
        "R",
        "trade",
        "95 % interval, FX weeks resampled.",
        "Künsch 1989",
        ("trades", "r", "weeks"),
    ),
    Metric(
        "mean_r_high",
        "Expectancy, upper bound",
        "R",
        "trade",
        "95 % interval, FX weeks resampled.",
        "Künsch 1989",
        ("trades", "r", "weeks"),
    ),
    Metric(
        "mean_r_normal_low",
        "Expectancy, lower normal bound",
        "R",
        "trade",
        "95 % interval of independent trades.",
        needs=("trades", "r", "two_r"),
    ),
    Metric(
        "mean_r_normal_high",
        "Expectancy, upper normal bound",
        "R",
        "trade",
        "95 % interval of independent trades.",
        needs=("trades", "r", "two_r"),
    ),
    Metric(
        "sqn",
        "System quality number",
        "ratio",
        "trade",
        "sqrt(min(n, 100)) times mean over deviation of R.",
        "Tharp 2008",
        ("trades", "r", "two_r", "r_varies"),
    ),
    Metric("best_trade_r", "Best trade", "R", "trade", "Highest R-multiple.", needs=("trades", "r")),
    Metric("worst_trade_r", "Worst trade", "R", "trade", "Lowest R-multiple.", needs=("trades", "r")),
    Metric(
        "mae_r",
        "Mean adverse excursion",
        "R",
        "trade",
        "Mean of the worst open result of each trade.",
        "Sweeney 1997",
        ("trades", "r"),
    ),
    Metric(
        "mfe_r",
        "Mean favorable excursion",
        "R",
        "trade",
        "Mean of the best open result of each trade.",
        "Sweeney 1997",
        ("trades", "r"),
    ),
    Metric("holding_mean_hours", "Mean holding time", "hours", "trade", "Entry to exit.", needs=("trades",)),
    Metric("holding_median_hours", "Median holding time", "hours", "trade", "Entry to exit.", needs=("trades",)),
    Metric("longest_wins", "Longest winning streak", "count", "trade", "Consecutive trades by exit, net > 0."),
    Metric("longest_losses", "Longest losing streak", "count", "trade", "Consecutive trades by exit, net <= 0."),
    Metric("cost_total", "All costs", "money", "cost", "Spread, slippage, commission and swap."),
    Metric("cost_spread", "Spread", "money", "cost", "Paid inside the fills."),
    Metric("cost_slippage", "Slippage", "money", "cost", "Paid inside the fills."),
    Metric("cost_commission", "Commission", "money", "cost", "Both sides."),
    Metric("cost_swap", "Swap", "money", "cost", "Financing overnight; negative when earned."),
    Metric("profit_before_costs", "Profit before costs", "money", "cost", "Net result of trades plus all costs."),
    Metric(
        "cost_share",
        "Costs as a share of gross",
        "fraction",
        "cost",
        "All costs over the profit before costs.",
        needs=("trades", "profit_before_costs"),
    ),
    Metric(
        "cost_per_trade_r", "Costs per trade", "R", "cost", "Mean of costs over money at risk.", needs=("trades", "r")
    ),
    Metric(
        "n_rejects", "Refusals", "count", "cost", "Intents not executed, by any rule; shrunk ones are counted apart."
    ),
    Metric("n_shrunk", "Shrunk", "count", "cost", "Intents executed smaller than asked."),
    Metric(
        "reject_share",
        "Share of intents refused",
        "fraction",
        "cost",
        "Refusals over refusals plus trades, or over intents where counted.",
        needs=("intents",),
    ),
    Metric("n_baskets", "Baskets", "count", "basket", "Trades opened as one idea count once."),
    Metric("basket_win_rate", "Baskets won", "fraction", "basket", "Share with net > 0.", needs=("baskets",)),
    Metric(
        "basket_stop_share",
        "Baskets ended by the hard stop",
        "fraction",
        "basket",
        "Share with any part stopped out.",
        needs=("baskets",),
    ),
    Metric(
        "basket_worst_r",
        "Largest basket loss",
        "R",
        "basket",
        "Net over the money at the stops of what was filled.",
        needs=("baskets", "r"),
    ),
    Metric(
        "basket_mae_r", "Mean adverse excursion of baskets", "R", "basket", "Weighted by risk.", needs=("baskets", "r")
    ),
    Metric(
        "basket_risk_used",
        "Worst case used",
        "fraction",
        "basket",
        "Largest money at the stops of one basket over capital.",
        needs=("baskets", "r"),
    ),
    Metric(
        "basket_break_even_loss_share",
        "Break-even share of full losses",
        "fraction",
        "basket",
        "w / (1 + w), w = mean win over mean full loss.",
        needs=("baskets", "r", "stopped_baskets"),
    ),
)
BY_KEY: Final = {metric.key: metric for metric in METRICS}
