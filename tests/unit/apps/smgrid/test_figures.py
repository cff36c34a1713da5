"""What a result shows of baskets, worked out by hand on those of `test_trades`; the guide's table; the chart."""

from pathlib import Path

import pytest

from tests.unit.apps.smgrid.factories import UNITS, hold, play, put, resolve, zone_bars
from tradesentry.apps.smgrid.backtest.figures import LABELS, NOTE, basket_figures, baskets, lines, main
from tradesentry.apps.smgrid.strategy import SMGridConfig
from tradesentry.backtest.runner import play as play_run
from tradesentry.core.strategy.guide import parameter_table, with_table

PAGE = Path(__file__).resolve().parents[4] / "docs" / "strategy_guides" / "smgrid.md"
TWO = (1.1005, 1.1006, 1.09775, 1.0979)
STOPPED = (1.1005, 1.1006, 1.0965, 1.0968)


@pytest.fixture(scope="module")
def winner():
    return play_run(resolve(put(zone_bars(), "2024-06-12T10:15", TWO, (1.0979, 1.0990, 1.09785, 1.0985))))


@pytest.fixture(scope="module")
def loser():
    bars = put(zone_bars(), "2024-06-12T10:15", STOPPED)
    return play_run(resolve(hold(bars, "2024-06-12T10:30", "2024-06-14T21:00", 1.0968)))


def test_basket_is_measured_by_what_the_whole_grid_was_allowed_to_lose(winner):
    row = baskets(winner).row(0, named=True)

    # 205.44 of 750; at stake were 11 and 9 pips of 214,000 units.
    assert (row["levels"], row["side"]) == (2, 1)
    assert row["r"] == pytest.approx(205.44 / 750)
    assert row["at_risk"] == pytest.approx(UNITS * 0.0020)
    # The worst bid was 1.09775: 2.5 and 0.5 pips.
    assert row["adverse_r"] == pytest.approx(UNITS * 0.0003 / 750)


def test_full_loss_is_nearly_one_r(loser):
    figures = basket_figures(loser)

    assert figures["largest_loss_r"] == pytest.approx(749 / 750)
    assert figures["worst_used_max"] == pytest.approx(749 / 750)
    assert (figures["stopped"], figures["full_loss_share"]) == (1.0, 1.0)


def test_break_even_share_follows_from_win_and_full_loss(winner, loser):
    from dataclasses import replace

    import polars as pl

    second = loser.trades.with_columns(basket=pl.lit(9, pl.Int64), entry_ns=pl.col("entry_ns") + 1)
    both = replace(winner, trades=pl.concat([winner.trades, second]))

    figures = basket_figures(both)

    w = 205.44 / 749
    assert figures["mean_win_r"] == pytest.approx(w)
    assert figures["break_even_share"] == pytest.approx(w / (1 + w))
    assert figures["full_loss_share"] == 0.5
    assert figures["win_rate"] == 0.5


def test_result_without_baskets_has_figures_all_the_same():
    figures = basket_figures(play_run(resolve(zone_bars())))

    assert figures["n_baskets"] == 0
    assert set(figures) == set(LABELS)


def test_figures_of_a_saved_run_are_printed_with_their_note(winner, tmp_path, monkeypatch, capsys):
    folder = winner.save(tmp_path / "run", with_report=False)
    monkeypatch.setattr("sys.argv", ["figures", str(folder)])

    main()

    printed = capsys.readouterr().out.splitlines()
    assert printed == lines(basket_figures(winner))
    assert printed[-1] == NOTE


def test_chart_shows_the_zone_when_it_is_known(winner):
    run = resolve(zone_bars())
    events = run.strategy.chart_events(
        run.config, zone_bars(), calendar=run.markets["calendar"][0], tick=float(run.markets["tick"][0])
    )

    born = events.filter((events["event"] == "SD_NEW") & (events["direction"] == 1)).row(0, named=True)
    assert (born["price_low"], born["price_high"]) == (pytest.approx(1.0972), pytest.approx(1.0980))
    bars = zone_bars()
    assert born["known_at_ns"] == bars.close_ns[born["known_index"]]
    arena = play(bars)
    assert arena.lanes[0].state[0].context.bases.zones.last_id >= born["id"]


def test_parameter_table_of_the_guide_is_the_one_of_the_model():
    page = PAGE.read_text(encoding="utf-8")

    assert with_table(page, SMGridConfig) == page, (
        "run: python -m tradesentry.core.strategy.guide smgrid docs/strategy_guides/smgrid.md"
    )
    assert parameter_table(SMGridConfig) in page


def test_page_without_a_table_is_refused():
    with pytest.raises(ValueError, match="no table"):
        with_table("# smgrid\n\n## Parameters\n\ntext\n", SMGridConfig)
