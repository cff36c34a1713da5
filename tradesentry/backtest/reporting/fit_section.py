"""Say what a fitted strategy is worth: all seeds with their interval, beside what it must beat, at 0x, 1x and 2x costs.

Columns, words and layout of one subject in one place, because only a walk-forward that fits has it. The headline is
made of every seed, never of the best one, and begins with the supervised baselines where they are not beaten.

=========  =====================================================================================
id         columns
=========  =====================================================================================
skill      name, label, text, kind, sharpe by cost level, low, high, improvement, p_value
seeds      seed, validation, mean, one column per test window
=========  =====================================================================================
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tradesentry.backtest.metrics.seeds import iqm_interval, probability_of_improvement
from tradesentry.backtest.reporting import text
from tradesentry.backtest.reporting.charts import Columns
from tradesentry.backtest.studies.evidence import Evidence, sentence

if TYPE_CHECKING:
    from tradesentry.backtest.studies.seed_scores import SeedScores
    from tradesentry.backtest.studies.target_baselines import BaselineScores
    from tradesentry.backtest.studies.walks import WalkForwardResult

Document = Mapping[str, Any]
COIN: Final = 0.5
CI: Final = "95\N{NO-BREAK SPACE}% CI"
NOTE: Final = (
    "Annual net Sharpe ratio per account, market and test window: the interquartile mean over all of them, for the "
    "strategy over all seeds too. The interval redraws the seeds of every window; it says nothing of other markets or "
    "times. Better: how often a seed does better than the baseline in the same window, 50 % is a coin. p: the share of "
    "1,000 draws that did at least as well as what was traded. All are played by the same engine, costs and limits."
)


def level_key(level: float) -> str:
    """Return the column of a cost level."""
    return f"sharpe_{level:g}x"


def fit_charts(result: "WalkForwardResult") -> dict[str, Columns]:
    """Return the tables `skill` and `seeds` of a walk-forward that fits, nothing for one that searches."""
    if result.seeds is None:
        return {}
    main = result.run.settings.cost_scale
    return {
        "skill": _skill_columns(result.seeds, result.baselines, main=main),
        "seeds": _seed_columns(result.seeds, main=main),
    }


def _skill_columns(seeds: "SeedScores", baselines: Sequence["BaselineScores"], *, main: float) -> Columns:
    found = seeds.estimate(main)
    rows: list[dict[str, Any]] = [
        {"name": "strategy", "label": _how_many(seeds), "text": "What is judged.", "kind": "strategy"}
        | {level_key(level): seeds.estimate(level).value for level in seeds.tables}
        | {"low": found.low, "high": found.high, "improvement": None, "p_value": None}
    ]
    for one in baselines:
        own = {level_key(level): iqm_interval(list(table[:, None])).value for level, table in one.tables.items()}
        better = probability_of_improvement(seeds.tables[main], one.tables[main][None, :])
        rows.append(
            {"name": one.name, "label": one.label, "text": one.text, "kind": _kind(one)}
            | own
            | {"low": None, "high": None, "improvement": better.value, "p_value": one.p_value}
        )
    return {key: [_short(row[key]) for row in rows] for key in rows[0]}


def _kind(one: "BaselineScores") -> str:
    return "supervised" if one.is_supervised else "drawn" if one.p_value is not None else "rule"


def _how_many(seeds: "SeedScores") -> str:
    markets = len({task.symbol for task in seeds.tasks})
    folds = len({task.fold for task in seeds.tasks})
    counts = ((len(seeds.seeds), "seed"), (markets, "market"), (folds, "fold"))
    return ", ".join(f"{n} {noun}{'s' * (n != 1)}" for n, noun in counts)


def _seed_columns(seeds: "SeedScores", *, main: float) -> Columns:
    by_fold = seeds.of_folds(main)
    columns: Columns = {"seed": list(seeds.seeds)}
    known = np.where(np.isfinite(seeds.validation), seeds.validation, np.nan)
    columns["validation"] = [_short(float(np.mean(row))) for row in known]
    columns["mean"] = [_short(float(np.mean(row))) for row in seeds.tables[main]]
    for fold in range(by_fold.shape[1]):
        columns[f"fold {fold + 1}"] = [_short(float(value)) for value in by_fold[:, fold]]
    return columns


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 4) if math.isfinite(value) else None


def unbeaten(result: "WalkForwardResult") -> list["BaselineScores"]:
    """Return the supervised baselines that do at least as well as the strategy at the settings' costs."""
    if result.seeds is None:
        return []
    main = result.run.settings.cost_scale
    own = result.seeds.estimate(main).value
    found = [one for one in result.baselines if one.is_supervised]
    return [one for one in found if iqm_interval(list(one.tables[main][:, None])).value >= own]


def fit_headline(result: "WalkForwardResult", seeds: "SeedScores") -> tuple[str, str]:
    """Return the verdict on a walk-forward that fits, in words, and its tone.

    Args:
        result: The walk-forward.
        seeds: Its seeds.
    """
    main = result.run.settings.cost_scale
    found, evidence = seeds.estimate(main), result.evidence
    twice = f", {_ratio(seeds.estimate(2.0).value)} at twice the costs," if 2.0 in seeds.tables and main != 2.0 else ""
    words = f"net Sharpe ratio {_ratio(found.value)}{_interval(found.low, found.high)}{twice} over {_how_many(seeds)}"
    words += f"; {_luck_words(evidence)}"
    stronger = unbeaten(result)
    if stronger:
        best = max(stronger, key=lambda one: float(np.mean(one.tables[main])))
        ratio = iqm_interval(list(best.tables[main][:, None])).value
        named = f"{best.label.lower()} on the same observation earns {_ratio(ratio)}"
        return f"It does not beat the supervised baselines ({named}): {words}.", _tone(found.high, evidence)
    if evidence.is_edge and found.low > 0:
        return f"It earned more than luck explains, with every seed counted: {words}.", "good"
    said, tone = sentence(evidence, what="The walk-forward")
    lead = "It loses money" if said.startswith("It loses") else "No evidence of an edge"
    return f"{lead}: {words}.", "bad" if tone == "bad" else "neutral"


def _tone(high: float, evidence: Evidence) -> str:
    return "bad" if high < 0 and evidence.sharpe < 0 else "neutral"


def _luck_words(found: Evidence) -> str:
    words = f"deflated probability {text.percent(found.deflated_sharpe)} after {found.n_trials:,} attempts"
    if found.overfitting is not None:
        words += f", overfitting {text.percent(found.overfitting.probability)}"
    return words


def _ratio(value: float) -> str:
    return text.number(value, 2, is_signed=True)


def _interval(low: float, high: float) -> str:
    return f" ({CI} {_ratio(low)} to {_ratio(high)})" if math.isfinite(low) else ""


def fit_details(result: "WalkForwardResult", seeds: "SeedScores") -> list[str]:
    """Return what a reader of the headline must know besides, in sentences."""
    main = result.run.settings.cost_scale
    spread = seeds.spread(main)
    lines = []
    if spread.n_seeds > 1:
        lines.append(
            f"Seeds differ: their means go from {_ratio(spread.lowest)} to {_ratio(spread.highest)}, deviation "
            f"{text.number(spread.deviation, 2)}. What validation chose was traded; the figure holds every seed."
        )
    else:
        lines.append("One seed was trained, so nothing is known of what another would have shown. Use five or more.")
    by_level = [f"{_ratio(seeds.estimate(level).value)} at {level:g}x" for level in sorted(seeds.tables)]
    lines.append(f"Net Sharpe ratio by costs: {', '.join(by_level)}.")
    if result.n_others:
        lines.append(
            f"These test windows were reported on by {result.n_others:,} other "
            f"{'study' if result.n_others == 1 else 'studies'} before: they are no longer unseen."
        )
    names = {one.name for one in result.baselines}
    if result.baselines and "boosting" not in names:
        lines.append("Gradient boosting was not played: install `tradesentry[drl]`.")
    return lines


def fit_parts(document: Document, *, table: Callable[..., str]) -> list[tuple[str, str, str]]:
    """Return the sections of a document that holds a fitted strategy, none otherwise.

    Args:
        document: The report document.
        table: Lays out a table.
    """
    charts = document["charts"]
    if "skill" not in charts:
        return []
    skill = charts["skill"]
    levels = [key for key in skill if key.startswith("sharpe_")]
    head = (
        ("Positions", False), *((f"Sharpe {key.removeprefix('sharpe_')}", True) for key in levels),
        ("95 % interval", True), ("Better", True), ("p", True),
    )  # fmt: skip
    rows = [_skill_row({key: skill[key][i] for key in skill}, levels) for i in range(len(skill["name"]))]
    body = f'<p class="summary">{escape(NOTE)}</p>{table(head, rows, caption="The strategy beside what it must beat")}'
    return [("skill", "What it is worth", f'<div class="baselines">{body}{_seed_table(charts["seeds"], table)}</div>')]


def _skill_row(value: Mapping[str, Any], levels: Sequence[str]) -> tuple[str, ...]:
    label = escape(value["label"])
    is_strategy = value["kind"] == "strategy"
    name = (
        f"<strong>{label[:1].upper()}{label[1:]}</strong>"
        if is_strategy
        else f'{label}<span class="why">{escape(value["text"])}</span>'
    )
    low, high = (text.number(value[key], 2, is_signed=True) for key in ("low", "high"))
    return (
        name,
        *(text.number(value[key], 2, is_signed=True) for key in levels),
        f"{low} to {high}" if value["low"] is not None else text.UNKNOWN,
        text.percent(value["improvement"]),
        text.number(value["p_value"], 3),
    )


def _seed_table(columns: Mapping[str, Sequence[Any]], table: Callable[..., str]) -> str:
    folds = [key for key in columns if key.startswith("fold ")]
    head = (
        ("Seed", False), ("Validation", True), ("Mean of tests", True), *((key.capitalize(), True) for key in folds),
    )  # fmt: skip
    rows = [
        (
            str(seed),
            text.number(columns["validation"][i], 3, is_signed=True),
            *(text.number(columns[key][i], 2, is_signed=True) for key in ("mean", *folds)),
        )
        for i, seed in enumerate(columns["seed"])
    ]
    return table(head, rows, caption="Every seed: score on validation, Sharpe ratio in each test window")
