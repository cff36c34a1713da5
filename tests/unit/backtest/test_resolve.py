"""Whatever is wrong with a request is said before the first bar, and what is resolved says where it came from."""

import numpy as np
import pytest

from tradesentry.backtest.resolve import RunSettings, app_config_path, checked_settings, resolve_config, resolve_run
from tradesentry.core.domain.errors import ConfigError, UsageError
from tradesentry.core.execution.costs import Conversion
from tradesentry.core.market.synthetic import synthetic_bars

WEEK = RunSettings(from_="2022-01-03", to="2022-01-08")


def week_of(**settings):
    return WEEK.model_copy(update=settings)


def bars_of(*symbols, spread=1.0):
    return list(synthetic_bars(symbols, timeframe="M15", start="2022-01-03", end="2022-01-08", spread=spread).values())


def test_file_values_and_overrides_win_in_that_order_and_are_remembered(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("or_minutes: 15\nstop: mid\ntarget: 3.0\n")

    resolved = resolve_config("breakout", path=path, config={"stop": "atr"}, overrides=["target=4"])

    assert (resolved.value.or_minutes, resolved.value.stop, resolved.value.target) == (15, "atr", 4.0)
    assert resolved.origins["or_minutes"] == f"{path}:1"
    assert "--set" in resolved.origins["target"]
    assert "default" in resolved.origins["bb_n"]


def test_the_shipped_file_of_an_app_is_used_unless_another_is_given():
    assert resolve_config("breakout").value.symbols == ("EURUSD", "GBPUSD", "USDJPY")
    assert app_config_path("breakout").name == "config.yaml"
    assert app_config_path("nobodys") is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("or_minuts=15", "'or_minuts' is not a setting. Did you mean 'or_minutes'"),
        ("risk=0.5", "risk = 0.5 was refused"),
        ("or_minutes=7", "or_minutes = 7 was refused"),
        ("or_minutes", "Write --set key=value"),
    ],
)
def test_a_wrong_setting_of_the_strategy_says_what_is_right(override, message):
    with pytest.raises(ConfigError) as caught:
        resolve_config("breakout", overrides=[override])

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"capital": -5}, "capital = -5 was refused"),
        ({"capitl": 5}, "'capitl' is not a setting. Did you mean 'capital'"),
        ({"cost_scale": 11}, "cost_scale = 11 was refused"),
        ({"rates": {"JPY": "much"}}, "rates.JPY: it should be a valid number"),
    ],
)
def test_a_wrong_setting_of_the_run_says_what_is_right(values, message):
    with pytest.raises(ConfigError) as caught:
        checked_settings(values)

    assert message in str(caught.value)


def test_an_unknown_strategy_is_refused_before_anything_is_loaded():
    with pytest.raises(UsageError, match="Did you mean 'breakout'"):
        resolve_run("breakuot", settings=week_of(source="nowhere"))


@pytest.mark.parametrize(
    ("settings", "message"), [({"costs": "standrad"}, "'standard'"), ({"limits": "defalt"}, "'default'")]
)
def test_unknown_profiles_suggest_the_nearest(settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve_run("breakout", bars=bars_of("EURUSD"), settings=RunSettings(**settings))


def test_given_bars_name_the_markets_unless_the_configuration_does():
    bars = bars_of("USDJPY", "EURUSD")

    assert resolve_run("breakout", bars=bars).config.symbols == ("USDJPY", "EURUSD")
    assert resolve_run("breakout", bars=bars).data.n_traded == 2

    chosen = resolve_run("breakout", bars=bars, config={"symbols": ["EURUSD"]})

    assert chosen.data.n_traded == 1
    assert [item.symbol for item in chosen.items] == ["EURUSD", "USDJPY"]


def test_a_cross_converts_through_the_market_loaded_for_it():
    run = resolve_run("breakout", overrides=["symbols=[EURJPY]"], settings=WEEK)

    assert [item.symbol for item in run.items] == ["EURJPY", "USDJPY"]
    assert run.markets["conversion"][0] == Conversion.CROSS_DIVIDE
    assert run.markets["cross_index"][0] == 1


def test_the_same_cross_in_pounds_multiplies():
    run = resolve_run("breakout", overrides=["symbols=[EURGBP]"], settings=WEEK)

    assert [item.symbol for item in run.items] == ["EURGBP", "GBPUSD"]
    assert run.markets["conversion"][0] == Conversion.CROSS_MULTIPLY


def test_a_cross_that_nothing_converts_is_refused():
    with pytest.raises(ConfigError, match=r"EURJPY earns JPY.*--rate JPY="):
        resolve_run("breakout", bars=bars_of("EURJPY"))


def test_bars_without_spread_and_runs_without_limits_or_costs_are_warned_of():
    settings = RunSettings(limits="off", costs="free")

    warnings = resolve_run("breakout", bars=bars_of("EURUSD", spread=0.0), settings=settings).warnings

    assert len(warnings) == 3
    assert "EURUSD: 100% of bars carry no spread; cost profile 'free' fills in." in warnings
    assert resolve_run("breakout", bars=bars_of("EURUSD")).warnings == ()


def test_every_market_carries_its_own_calendar():
    run = resolve_run("breakout", bars=bars_of("EURUSD", "USDJPY"))

    calendars = np.asarray(run.markets["calendar"])
    assert np.all(calendars["n_days"] > 0)
    assert np.all(calendars["n_sessions"] == 7)
