"""What a report says in words: the verdict, the banners, the phrases and the numbers."""

import numpy as np
import pytest

from tests.unit.backtest.factories import HOUR, START, make_result, reject_frame, trade_frame, trades_of
from tradesentry.backtest.report import render_report, report_data
from tradesentry.backtest.reporting.text import EXIT_WORDS, MINUS, REJECT_WORDS, figure, money, number, percent
from tradesentry.core.domain.orders import ExitReason, RejectCode


def edge_result(win_share: float, n_trades: int = 400, **fields):
    n_wins = round(win_share * n_trades)
    net = np.random.default_rng(1).permutation([20.0] * n_wins + [-20.0] * (n_trades - n_wins))
    return make_result(trades=trade_frame(trades_of(net.tolist())), **fields)


def test_the_headline_claims_an_edge_only_when_the_whole_interval_is_above_zero():
    """Proven able to fail: judging by the mean alone calls the second case an edge."""
    good = report_data(edge_result(0.60))["verdict"]
    flat = report_data(edge_result(0.51))["verdict"]
    bad = report_data(edge_result(0.40))["verdict"]

    assert (good["tone"], flat["tone"], bad["tone"]) == ("good", "neutral", "bad")
    assert flat["headline"].startswith("No evidence of an edge: mean R +0.02")
    assert "over 400 trades, after costs" in flat["headline"]
    assert bad["headline"].startswith("It loses money")


def test_the_interval_of_the_headline_is_the_wider_of_the_two_known():
    values = report_data(edge_result(0.51))
    figures = dict(zip(values["charts"]["figures"]["key"], values["charts"]["figures"]["value"], strict=True))

    low, high = values["verdict"]["mean_r_interval"]

    assert low == pytest.approx(min(figures["mean_r_low"], figures["mean_r_normal_low"]))
    assert high == pytest.approx(max(figures["mean_r_high"], figures["mean_r_normal_high"]))


def test_few_trades_and_no_trades_are_no_verdict():
    few = report_data(edge_result(1.0, n_trades=12))["verdict"]
    none = report_data(make_result(rejects=reject_frame(["spread", "spread", "news"])))["verdict"]

    assert few["headline"].startswith("Too few trades to judge")
    assert none["headline"] == "No trades, so nothing can be said about smedge."
    assert "3 intents were refused" in none["details"][1]
    assert "spread too wide" in none["details"][1]


def test_synthetic_prices_are_said_in_badge_headline_and_first_banner():
    document = report_data(edge_result(0.6, is_synthetic=True))

    assert "SYNTHETIC" in document["verdict"]["badges"]
    assert document["verdict"]["headline"].startswith("On generated prices: ")
    assert document["verdict"]["tone"] == "neutral"
    assert (document["warnings"][0]["level"], document["warnings"][0]["title"]) == ("danger", "Synthetic data")


def test_a_halted_account_says_when_and_why():
    status = {"state": "HALTED", "since": START + 30 * HOUR, "reason": "drawdown"}

    warning = report_data(make_result(status=status))["warnings"][0]

    assert warning["title"] == "The account was halted"
    assert "2023-01-03 06:00 UTC" in warning["text"]
    assert "drawdown limit" in warning["text"]


@pytest.mark.parametrize(
    ("win_share", "n_trades", "is_alarm"), [(0.62, 301, True), (0.62, 300, False), (0.58, 400, False)]
)
def test_the_alarm_rings_for_results_too_good_over_more_than_300_trades(win_share, n_trades, is_alarm):
    """A payoff of 1 breaks even at 50 %: 62 % is 12 points above it with a profit factor of 1.63; 58 % is neither."""
    titles = [warning["title"] for warning in report_data(edge_result(win_share, n_trades))["warnings"]]

    assert ("Check for look-ahead or fill optimism" in titles) == is_alarm


def test_the_alarm_names_every_sign_it_saw_and_rings_without_any_loss_too():
    """A win rate 10 points above break-even always comes with a profit factor above 1.5, not the other way round."""
    both = trades_of([20.0] * 248 + [-20.0] * 152)
    factor = trades_of([4.0] * 330 + [-20.0] * 36)
    never = trades_of([5.0] * 320)

    texts = [
        report_data(make_result(trades=trade_frame(rows)))["warnings"][0]["text"] for rows in (both, factor, never)
    ]

    assert "profit factor 1.63" in texts[0]
    assert "win rate 62.0 %, 12.0 points above the 50.0 %" in texts[0]
    assert "profit factor 1.83" in texts[1]
    assert "points above" not in texts[1]
    assert "without a single losing trade" in texts[2]


def test_every_code_has_words_a_trader_understands():
    assert {code.name.lower() for code in RejectCode} - {"none"} <= set(REJECT_WORDS)
    assert {code.name.lower() for code in ExitReason} <= set(EXIT_WORDS)


def test_numbers_follow_the_rules_of_signs_and_unknowns():
    minus = "\N{MINUS SIGN}"

    assert number(-1234.5, 1) == f"{minus}1,234.5"
    assert number(-0.001, 2, is_signed=True) == "0.00"
    assert percent(0.00561, is_signed=True) == "+0.56 %"
    assert percent(-0.1234) == f"{minus}12.3 %"
    assert money(-56.456, "USD", is_signed=True) == f"{minus}56.46 USD"
    assert figure(None, "R", "USD") == "—"
    assert figure(float("nan"), "ratio", "USD") == "—"


def compared(*p_values):
    """A result beside one baseline of chance per p-value, after flat."""
    flat = {"name": "flat", "label": "Flat", "text": "No trade.", "n_trades": 0, "mean_r": 0.0, "total_return": 0.0}
    drawn = [
        {"name": f"b{i}", "label": f"Chance <{i}>", "text": "Any bar.", "n_trades": 9, "mean_r": -0.1, "low": -0.2,
         "high": 0.05, "p_value": p, "n_draws": 1_000}
        for i, p in enumerate(p_values)
    ]  # fmt: skip
    return edge_result(0.51, baselines=[flat, *drawn])


def test_baselines_stand_beside_the_strategy_with_what_they_leave_to_chance():
    page = render_report(compared(0.004, 0.31))

    assert '<section id="baselines"' in page
    assert "p is the share of 1,000 draws" in page
    assert "Chance &lt;0&gt;" in page
    assert '<td class="number">0.004</td>' in page
    assert f'<td class="number">{MINUS}0.20 to +0.05</td>' in page


def test_without_a_comparison_there_is_no_such_section():
    page = render_report(edge_result(0.51))

    assert 'id="baselines"' not in page
    assert "baselines of chance" not in page


@pytest.mark.parametrize(
    ("p_values", "sentence"),
    [
        ((0.001, 0.04), "It beat all 2 baselines of chance; the best of them is “chance <1>”, p = 0.040."),
        (
            (0.001, 0.31),
            "It beat 1 of 2 baselines of chance; “chance <1>” does as well or better in 31.0 % of the draws.",
        ),
        ((0.05,), "It beat 0 of 1 baselines of chance; “chance <0>” does as well or better in 5.0 % of the draws."),
    ],
)
def test_the_verdict_says_how_many_baselines_were_beaten(p_values, sentence):
    assert sentence in report_data(compared(*p_values))["verdict"]["details"]
