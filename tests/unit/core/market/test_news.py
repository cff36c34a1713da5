"""News: files from users, refused by row; blackouts as sorted, disjoint, half-open intervals."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.core.domain.errors import ConfigError, ImportRefused
from tradesentry.core.market.news import MINUTE_NS, NewsSettings, blackouts, load_news, merge_intervals, news_table

DAY = 86_400_000_000_000


def event(minute, *, currency="USD", impact=3, title="Retail sales"):
    return {"ts_ns": minute * MINUTE_NS, "currency": currency, "impact": impact, "title": title}


def minutes(intervals):
    return [(row["start_ns"] / MINUTE_NS, row["end_ns"] / MINUTE_NS) for row in intervals]


def test_an_event_blocks_from_before_until_after_half_open():
    table = news_table([event(100)])

    assert minutes(blackouts(table, ("EUR", "USD"), 30, 20)) == [(70, 120)]


def test_overlapping_and_touching_intervals_are_merged_and_others_are_not():
    table = news_table([event(100), event(160), event(221)])

    assert minutes(blackouts(table, ("USD",))) == [(70, 190), (191, 251)]


def test_only_the_symbols_currencies_and_high_enough_impact_block():
    table = news_table([event(100, currency="JPY"), event(300, impact=2), event(500, currency="EUR")])

    assert minutes(blackouts(table, ("EUR", "USD"))) == [(470, 530)]
    assert len(blackouts(table, ("EUR", "USD"), min_impact=2)) == 2


@pytest.mark.parametrize(
    ("title", "is_special"),
    [
        ("Non-Farm Payrolls", True),
        ("Nonfarm Employment Change", True),
        ("FOMC Minutes", True),
        ("Core CPI m/m", True),
        ("Interest Rate Decision", True),
        ("Official Bank Rate", True),
        ("Unemployment Rate", False),
        ("Retail Sales m/m", False),
    ],
)
def test_payrolls_fomc_prices_and_rate_decisions_block_an_hour(title, is_special):
    table = news_table([event(1_000, title=title)])

    assert minutes(blackouts(table, ("USD",))) == [(940, 1_060) if is_special else (970, 1_030)]


def test_a_longer_setting_than_an_hour_holds_for_special_events_too():
    table = news_table([event(1_000, title="FOMC Statement")])

    assert minutes(blackouts(table, ("USD",), 90, 120)) == [(910, 1_120)]


@given(
    rows=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=40),
    probe=st.integers(-5, 600),
)
@settings(deadline=None, max_examples=200)
def test_merged_intervals_cover_the_same_time_sorted_and_apart(rows, probe):
    """Planted fault that this catches: comparing with the previous end instead of the furthest end so far."""
    start = np.array([a for a, _ in rows], dtype=np.int64)
    end = np.array([a + n for a, n in rows], dtype=np.int64)

    merged = merge_intervals(start, end)

    assert (merged["start_ns"] < merged["end_ns"]).all()
    assert (merged["start_ns"][1:] > merged["end_ns"][:-1]).all()
    is_inside = any(a <= probe < a + n for a, n in rows)
    assert is_inside == any(row["start_ns"] <= probe < row["end_ns"] for row in merged)


def test_csv_json_and_parquet_give_the_same_calendar(tmp_path):
    csv_file, json_file, parquet_file = tmp_path / "n.csv", tmp_path / "n.json", tmp_path / "n.parquet"
    csv_file.write_text(
        "time,zone,currency,impact,title\n"
        "2024-03-12 08:30,America/New_York,usd,high,CPI m/m\n"
        "2024-03-12T07:00+00:00,,GBP,2,Claimant count\n"
    )
    rows = [
        {"time_utc": "2024-03-12T12:30", "currency": "USD", "impact": 3, "title": "CPI m/m"},
        {"time": "2024-03-12T07:00Z", "currency": "GBP", "impact": "medium", "title": "Claimant count"},
    ]
    json_file.write_text(json.dumps(rows))
    times = np.array(["2024-03-12T12:30", "2024-03-12T07:00"], "datetime64[us]")
    columns = {"time": pa.array(times, pa.timestamp("us", tz="UTC")), "currency": ["USD", "GBP"], "impact": [3, 2]}
    pq.write_table(pa.table({**columns, "title": ["CPI m/m", "Claimant count"]}), parquet_file)

    tables = [load_news(path) for path in (csv_file, json_file, parquet_file)]

    for table in tables:
        assert table.ts_ns.astype("datetime64[ns]").astype(str).tolist() == [
            "2024-03-12T07:00:00.000000000",
            "2024-03-12T12:30:00.000000000",
        ]
        assert table.currency.tolist() == ["GBP", "USD"]
        assert table.impact.tolist() == [2, 3]
        assert table.is_special.tolist() == [False, True]


def test_a_calendar_covers_whole_days_unless_the_file_says_otherwise(tmp_path):
    table = news_table([event(3 * 1_440 + 5), event(5 * 1_440 + 700)])
    path = tmp_path / "n.json"
    path.write_text(json.dumps({"from": "1970-01-02", "to": "1970-01-20", "events": []}))

    stated = load_news(path)

    assert (table.from_ns, table.to_ns) == (3 * DAY, 6 * DAY)
    assert (stated.from_ns, stated.to_ns, len(stated)) == (DAY, 19 * DAY, 0)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("2024-03-12 08:30,,USD,3,x", "no offset and no zone"),
        ("2024-13-12 08:30Z,,USD,3,x", "month"),
        ("2024-03-12 08:30Z,,dollar,3,x", "'dollar' is not a three-letter code"),
        ("2024-03-12 08:30Z,,USD,4,x", "impact '4'"),
        ("2024-03-12 08:30,Europe/Lodnon,USD,3,x", "Did you mean 'Europe/London'"),
        (",,USD,3,x", "no time"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_reason(tmp_path, line, text):
    path = tmp_path / "bad.csv"
    path.write_text(f"time,zone,currency,impact,title\n2024-03-11T07:00Z,,GBP,2,ok\n{line}\n")

    with pytest.raises(ImportRefused, match="row 3") as caught:
        load_news(path)

    assert text in str(caught.value)


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ImportRefused, match="csv"):
        load_news(tmp_path / "news.xlsx")


@pytest.mark.parametrize("document", ["{}", "[1]", "no json", '{"events": {}}'])
def test_json_of_another_shape_is_refused(tmp_path, document):
    path = tmp_path / "n.json"
    path.write_text(document)

    with pytest.raises(ImportRefused, match="not a news calendar"):
        load_news(path)


def test_settings_out_of_bounds_are_refused():
    with pytest.raises(ConfigError, match="pre_minutes is 4"):
        NewsSettings(pre_minutes=4)
    with pytest.raises(ConfigError, match="min_impact"):
        NewsSettings(min_impact=0)
    with pytest.raises(ConfigError, match="makes no sense"):
        blackouts(news_table([]), ("USD",), -1)


def test_no_events_block_nothing():
    assert len(blackouts(news_table([]), ("USD",))) == 0
