"""Rows become tables: names for codes, datetimes beside nanoseconds, every plain field kept."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from tradesentry.backtest.tables import equity_table, reject_table, trade_table
from tradesentry.core.domain.orders import ExitReason, RejectCode
from tradesentry.core.domain.records import EQUITY, REJECT, TRADE
from tradesentry.core.utils.kernel import new_records

NOON = 1_704_801_600_000_000_000
"""2024-01-09 12:00 UTC."""


def two_trades():
    trades = new_records(2, TRADE)
    trades["market"], trades["exit_reason"], trades["tag"] = [1, 0], [ExitReason.TIME, ExitReason.STOP_LOSS], [1, 9]
    trades["entry_ns"], trades["exit_ns"] = NOON, NOON + 1
    trades["net"] = [1.25, -3.5]
    trades["cause"][:, 0] = [7, 8]
    return trades


def test_codes_become_names_and_unknown_tags_stay_numbers():
    table = trade_table(two_trades(), ["EURUSD", "USDJPY"], {1: "sweep"})

    assert table["symbol"].to_list() == ["USDJPY", "EURUSD"]
    assert table["exit_reason"].to_list() == ["time", "stop_loss"]
    assert table["tag"].to_list() == ["sweep", "9"]
    assert table["cause"].to_list() == [[7, 0, 0, 0], [8, 0, 0, 0]]


def test_times_are_there_twice_and_agree():
    table = trade_table(two_trades(), ["EURUSD", "USDJPY"], {})

    assert table["entry_time"].dtype == pl.Datetime("ns", "UTC")
    assert table["entry_time"][0] == datetime(2024, 1, 9, 12, tzinfo=UTC)
    assert table["exit_time"].cast(pl.Int64).to_list() == table["exit_ns"].to_list() == [NOON + 1] * 2


def test_every_field_of_a_trade_is_in_the_table_with_its_bits():
    trades = two_trades()

    table = trade_table(trades, ["EURUSD", "USDJPY"], {})

    missing = set(TRADE.names) - set(table.columns) - {"market"}
    assert missing == set()
    for name in TRADE.names:
        if table.schema.get(name) == pl.Float64:
            np.testing.assert_array_equal(table[name].to_numpy(), trades[name])


def test_no_trade_gives_an_empty_table_of_the_same_columns():
    empty = trade_table(new_records(0, TRADE), [], {})
    full = trade_table(two_trades(), ["EURUSD", "USDJPY"], {})

    assert empty.schema == full.schema
    assert empty.height == 0


def test_the_equity_table_has_every_field_and_a_time():
    points = new_records(2, EQUITY)
    points["ts_ns"], points["equity"] = [NOON, NOON + 1], [10_000.0, 10_001.5]

    table = equity_table(points)

    assert set(table.columns) == {*EQUITY.names, "time"}
    assert table["equity"].to_list() == [10_000.0, 10_001.5]
    assert table["time"][0] == datetime(2024, 1, 9, 12, tzinfo=UTC)


def test_refusals_say_why_in_words():
    rows = new_records(2, REJECT)
    rows["ts_ns"], rows["code"], rows["tag"] = NOON, [RejectCode.NEWS, RejectCode.LEVERAGE], [0, 1]

    table = reject_table(rows, ["EURUSD"], {1: "sweep"})

    assert table["code"].to_list() == ["news", "leverage"]
    assert table["symbol"].to_list() == ["EURUSD"] * 2
    assert table["tag"].to_list() == ["0", "sweep"]
    assert reject_table(rows[:0], [], {}).schema == table.schema
