"""What a result of a grid must show besides win rate: baskets, not positions, measured by what they could lose.

A grid wins often because it is built to: many small targets near, one stop far away. So its trades are gathered into
baskets and each basket is measured in R, the loss that the whole grid was allowed (risk x equity). With mean win w
in full losses the basket breaks even when a share p* = w / (1 + w) of baskets is lost in full; what was lost in fact
stands beside it.

`python -m tradesentry.apps.smgrid.backtest.figures runs/<id>` prints the figures of a saved run.
"""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tradesentry.backtest.result import BacktestResult, load_result

if TYPE_CHECKING:
    import polars as pl

LABELS: Final = {
    "n_baskets": "Baskets",
    "win_rate": "Baskets won, share",
    "mean_r": "Mean basket, R",
    "worst_used_mean": "Allowed loss at stake when the last level had filled, mean share",
    "worst_used_max": "the same, greatest",
    "stopped": "Baskets ended by the hard stop, share",
    "largest_loss_r": "Largest basket loss, R",
    "mean_adverse_r": "Mean adverse excursion of a basket, R",
    "mean_win_r": "Mean win w, in full losses",
    "break_even_share": "Full losses at which it breaks even, p* = w / (1 + w)",
    "full_loss_share": "Full losses in fact, share of baskets",
}
NOTE: Final = "A high share of won baskets is geometry, not skill: the target is near and the stop is far."


def baskets(result: BacktestResult) -> "pl.DataFrame":
    """Return one row per basket of a result, in the order of their first fills.

    Args:
        result: A finished back-test of smgrid.

    Returns:
        symbol, variant, basket, side, opened and closed (ns), levels filled, net, allowed and at_risk (account money),
        `r` = net / allowed, `adverse_r` (worst excursion), `is_stopped`.
    """
    import polars as pl

    risk = float(result.config["risk"])
    # Money at the stop of a position is its net over its R; a trade that earned exactly nothing lends its neighbors'.
    money = pl.when(pl.col("r_multiple") != 0).then(pl.col("net") / pl.col("r_multiple"))
    key = ["symbol", "variant", "basket"]
    trades = result.trades.with_columns(at_risk=money).with_columns(
        at_risk=pl.col("at_risk").fill_null(pl.col("at_risk").mean().over(key)).fill_null(0.0)
    )
    equity = result.equity.select("ts_ns", "equity").sort("ts_ns")
    rows = (
        trades.group_by(key)
        .agg(
            side=pl.col("side").first(),
            opened=pl.col("entry_ns").min(),
            closed=pl.col("exit_ns").max(),
            levels=pl.col("tag").n_unique(),
            net=pl.col("net").sum(),
            at_risk=pl.col("at_risk").sum(),
            adverse=(pl.col("mae_r") * pl.col("at_risk")).sum(),
            is_stopped=(pl.col("exit_reason") == "stop_loss").any(),
        )
        .sort("opened", "symbol", "variant")
        .join_asof(equity, left_on="opened", right_on="ts_ns", strategy="backward")
        .with_columns(allowed=risk * pl.col("equity").fill_null(result.capital))
    )
    return rows.with_columns(r=pl.col("net") / pl.col("allowed"), adverse_r=pl.col("adverse") / pl.col("allowed")).drop(
        "equity", "ts_ns", "adverse", strict=False
    )


def basket_figures(result: BacktestResult) -> dict[str, float]:
    """Return the figures of the baskets of a result by key; `LABELS` says what each is. nan where undefined.

    Args:
        result: A finished back-test of smgrid, one account.
    """
    rows = baskets(result)
    if rows.height == 0:
        return {"n_baskets": 0.0} | dict.fromkeys(list(LABELS)[1:], math.nan)
    r = rows["r"].to_numpy()
    used = (rows["at_risk"] / rows["allowed"]).to_numpy()
    stopped = rows["is_stopped"].to_numpy()
    wins, losses = r[r > 0], r[stopped & (r < 0)]
    full = float(-losses.mean()) if len(losses) else math.nan
    win = float(wins.mean()) / full if len(wins) else math.nan
    return {
        "n_baskets": float(rows.height),
        "win_rate": float((r > 0).mean()),
        "mean_r": float(r.mean()),
        "worst_used_mean": float(used.mean()),
        "worst_used_max": float(used.max()),
        "stopped": float(stopped.mean()),
        "largest_loss_r": float(max(0.0, -r.min())),
        "mean_adverse_r": float(rows["adverse_r"].to_numpy().mean()),
        "mean_win_r": win,
        "break_even_share": win / (1.0 + win),
        "full_loss_share": len(losses) / rows.height,
    }


def lines(figures: dict[str, Any]) -> list[str]:
    """Return figures as lines of text, with the note that belongs under them."""
    width = max(len(label) for label in LABELS.values())
    shown = [f"{LABELS[key]:<{width}}  {_text(key, value)}" for key, value in figures.items()]
    return [*shown, NOTE]


def _text(key: str, value: float) -> str:
    return f"{value:,.0f}" if key == "n_baskets" else f"{value:.3f}"


def main() -> None:
    """Print the figures of the run folder given on the command line."""
    figures = basket_figures(load_result(Path(sys.argv[1])))
    sys.stdout.write("\n".join(lines(figures)) + "\n")


if __name__ == "__main__":
    main()
