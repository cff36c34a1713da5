"""The report page: one document, one file, nothing invented, nothing fetched, nothing injected."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.backtest.factories import (
    HOUR,
    START,
    equity_frame,
    make_result,
    realistic_result,
    reject_frame,
    trade_frame,
    trade_row,
)
from tradesentry.backtest.report import read_report_data, render_report, report_data
from tradesentry.backtest.reporting.charts import thin
from tradesentry.backtest.reporting.decision_section import DECIDED
from tradesentry.backtest.reporting.page import ASSETS
from tradesentry.backtest.reporting.prices import merge_bars
from tradesentry.core.domain.errors import DataError

DAY_MS = 86_400_000
CHART_IDS = {
    *("equity", "rolling", "monthly", "distribution", "excursion", "trades", "exposure", "price", "zones", "marks"),
    *("closeups", "figures", "breakdown", "costs", "rejects", "config", "cost_model"),
}
STUDY_CHARTS = {"heatmap", "folds", "parameters"}
"""Drawn on the pages of studies alone."""
ATTACK = "</script x><script>alert('x')</script ><img src=x onerror=alert(1)><!--<script>"


class Page(HTMLParser):
    """Collects what a browser would see: elements in order and the text outside scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.document = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if values.get("id"):
            self.ids.append(str(values["id"]))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][1].get("id") == "report-data":
            self.document += data

    def count(self, tag: str) -> int:
        return sum(1 for name, _ in self.tags if name == tag)


@pytest.fixture(scope="module")
def result():
    return realistic_result(n_weeks=40, n_trades=200)


@pytest.fixture(scope="module")
def html(result):
    return render_report(result)


def test_the_document_has_four_parts_and_every_chart_has_columns_of_one_length(result):
    document = report_data(result)

    assert set(document) == {"verdict", "warnings", "provenance", "charts"}
    assert set(document["charts"]) == CHART_IDS
    for key, columns in document["charts"].items():
        assert len({len(column) for column in columns.values()}) == 1, key
        assert all(len(column) for column in columns.values()), key


def test_the_page_embeds_the_document_that_the_api_serves(result, tmp_path):
    path = result.report(tmp_path)

    assert path == tmp_path / "report.html"
    assert read_report_data(path) == json.loads(json.dumps(report_data(result)))


def test_every_drawn_chart_of_the_page_is_known_to_the_script_and_to_the_document(html, result):
    drawn = re.findall(r'data-chart="(\w+)"', html)
    known = re.findall(r"^    (\w+)\(t(?:, target)?\) \{", (ASSETS / "report.js").read_text(), re.MULTILINE)

    assert sorted(drawn) == sorted(set(known) - STUDY_CHARTS - set(DECIDED))
    assert set(drawn) <= set(report_data(result)["charts"])


def test_the_same_result_gives_the_same_bytes(result, html):
    again = render_report(realistic_result(n_weeks=40, n_trades=200))

    assert hashlib.sha256(again.encode()).digest() == hashlib.sha256(html.encode()).digest()


def test_the_speed_of_the_run_does_not_change_the_report(result, html):
    slower = dataclasses.replace(result, timing=result.timing | {"seconds": 99.0, "bars_per_second": 1.0})

    assert render_report(slower) == html


def test_the_page_fetches_nothing_and_allows_only_its_own_scripts(html):
    page = Page(html)
    policy = next(str(attrs["content"]) for tag, attrs in page.tags if "http-equiv" in attrs)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)

    assert not [attrs for _, attrs in page.tags if "src" in attrs or str(attrs.get("href", "#"))[0] != "#"]
    assert page.count("link") == 0
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert len(scripts) == 3
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert 'plotlyServerURL: ""' in scripts[2]
    assert "sendChartToCloud" not in scripts[2]
    assert "url(" not in (ASSETS / "report.css").read_text()


def test_nothing_a_user_wrote_becomes_markup():
    """Proven able to fail: one `escape` less in a table, or a plain `<` in the embedded JSON, adds an `img` element."""
    rows = [trade_row(symbol=ATTACK, tag=ATTACK, exit_reason=ATTACK)] * 2
    result = make_result(
        app=ATTACK,
        symbols=(ATTACK,),
        timeframe=ATTACK,
        source=ATTACK,
        account_currency=ATTACK,
        config={ATTACK: ATTACK, "nested": {"key": [ATTACK]}},
        origins={ATTACK: ATTACK, "nested.key": ATTACK},
        costs={ATTACK: ATTACK},
        provenance=[{"symbol": ATTACK, ATTACK: ATTACK}],
        warnings=[ATTACK],
        trades=trade_frame(rows),
        rejects=reject_frame([ATTACK]),
        cost_runs={ATTACK: {"n_trades": 1}},
        status={"state": "halted", "since": START, "reason": ATTACK},
    )

    html = render_report(result)
    page = Page(html)

    assert (page.count("script"), page.count("img")) == (4, 0)
    assert ATTACK not in html
    assert json.loads(page.document)["verdict"]["app"] == ATTACK
    assert not set("<>&") & set(page.document)
    assert "alert(&#x27;x&#x27;)" in html


def test_scripts_never_build_markup_from_text():
    script = (ASSETS / "report.js").read_text()

    assert not re.findall(r"innerHTML|insertAdjacentHTML|document\.write|outerHTML|eval\(", script)


def test_the_file_stays_small_enough_to_mail():
    size = len(render_report(realistic_result(symbols=("EURUSD", "GBPUSD", "USDJPY"), n_trades=3_500)).encode())

    assert size < 6_000_000


def test_the_page_has_landmarks_one_first_heading_and_a_summary_for_every_chart(html):
    page = Page(html)
    labels = [str(attrs.get("aria-labelledby")) for tag, attrs in page.tags if tag == "section"]
    described = [attrs for _, attrs in page.tags if "data-chart" in attrs]

    assert [page.count(tag) for tag in ("header", "nav", "main", "footer", "h1")] == [1, 1, 1, 1, 1]
    assert len(page.ids) == len(set(page.ids))
    assert set(labels) <= set(page.ids)
    assert described
    assert {str(attrs["aria-describedby"]) for attrs in described} <= set(page.ids)
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")
    assert next(attrs for tag, attrs in page.tags if tag == "html")["lang"] == "en"


def _luminance(color: str) -> float:
    digits = color.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark by system", "dark by choice"])
@pytest.mark.parametrize("name", ["text", "muted", "accent", "gain", "loss", "warning", "danger", "info"])
def test_text_colors_keep_a_contrast_of_four_and_a_half(theme, name):
    block = re.findall(r"\{([^{}]*--background[^{}]*)\}", (ASSETS / "report.css").read_text())[theme]
    colors = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]+)", block))

    for ground in ("background", "surface"):
        light, dark = sorted((_luminance(colors[name]), _luminance(colors[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, ground


@given(seed=st.integers(0, 500), n=st.integers(1, 3_000), max_points=st.integers(8, 200))
def test_thinning_keeps_first_last_lowest_and_highest_within_the_limit(seed, n, max_points):
    rng = np.random.default_rng(seed)
    curves = [np.cumsum(rng.normal(size=n)), rng.normal(size=n)]

    rows = thin(curves, max_points)

    assert len(rows) <= max_points
    assert (rows[0], rows[-1]) == (0, n - 1)
    for curve in curves:
        assert curve[rows].min() == curve.min()
        assert curve[rows].max() == curve.max()


def test_the_drawn_drawdown_reaches_the_reported_maximum(result):
    document = report_data(result, max_points=100)
    drawn = document["charts"]["equity"]

    assert len(drawn["time"]) <= 100
    assert -min(drawn["drawdown"]) == pytest.approx(result.summary["max_drawdown"], abs=1e-5)
    assert drawn["equity"][-1] == pytest.approx(result.summary["final_equity"], abs=0.01)


def test_merged_candles_keep_open_extremes_and_close(result):
    bars = result.bars["EURUSD"][:96]

    merged = merge_bars(bars, 240)

    hours = bars["open_ns"] // (240 * 60_000_000_000)
    for i, bucket in enumerate(np.unique(hours)):
        part = bars[hours == bucket]
        assert (merged["open"][i], merged["close"][i]) == (part["open"][0], part["close"][-1])
        assert (merged["high"][i], merged["low"][i]) == (part["high"].max(), part["low"].min())


def test_exposure_nets_currencies_over_symbols_and_reads_the_rate_of_a_cross_off_its_profit():
    period = (START, START + 100 * HOUR)
    shared = {"entry_ns": START + 10 * HOUR, "exit_ns": START + 60 * HOUR, "side": 1, "units": 10_000.0}
    rows = [
        trade_row(**shared, symbol="EURUSD", entry_price=1.10, exit_price=1.11, gross=100.0),
        trade_row(**shared, symbol="EURGBP", entry_price=0.80, exit_price=0.81, gross=125.0),
        trade_row(**(shared | {"side": -1}), symbol="USDJPY", entry_price=150.0, exit_price=149.0, gross=66.0),
    ]
    times = [START + HOUR, START + 100 * HOUR]

    chart = report_data(
        make_result(trades=trade_frame(rows), period=period, equity=equity_frame(times, [10_000.0] * 2))
    )
    exposure = chart["charts"]["exposure"]

    assert list(exposure) == ["time", "EUR", "GBP", "JPY", "USD"]
    at = {name: exposure[name][140] for name in list(exposure)[1:]}
    assert at == pytest.approx({"EUR": 2.1, "GBP": -1.0, "JPY": 1.0, "USD": -2.1})
    assert all(exposure[name][-1] == 0.0 for name in at)


def test_breakdowns_add_up_to_the_whole_in_every_dimension(result):
    columns = report_data(result)["charts"]["breakdown"]
    dimensions, n_trades = np.array(columns["dimension"]), np.array(columns["n_trades"])

    sums = {str(name): int(n_trades[dimensions == name].sum()) for name in np.unique(dimensions)}

    assert sums == dict.fromkeys(("symbol", "side", "session", "weekday", "hour", "tag", "exit"), 200)


def test_costs_list_the_levels_in_order_and_say_which_were_not_run(result):
    levels = {"2x": result.summary, "0x": result.summary, "1x": result.summary}

    full = render_report(dataclasses.replace(result, cost_runs=levels))

    assert report_data(dataclasses.replace(result, cost_runs=levels))["charts"]["costs"]["level"] == ["0x", "1x", "2x"]
    assert "Not run at" not in full
    assert "Not run at 0x and 2x costs" in render_report(result)


def test_zones_end_with_the_event_that_ends_them(result):
    charts = report_data(result)["charts"]
    zones = charts["zones"]
    begin, end = np.array(zones["from"]), np.array(zones["to"])

    assert set(zones["name"]) == {"order block"}
    assert (end > begin).all()
    assert (end - begin).max() < 10 * DAY_MS


def test_an_empty_result_still_gives_a_whole_page():
    html = render_report(make_result())

    assert "No trades, so nothing can be said" in html
    assert "No trades to break down." in html
    assert 'id="chart-price"' not in html


def test_a_file_that_is_no_report_is_refused(tmp_path: Path):
    other = tmp_path / "other.html"
    other.write_text("<p>hello</p>")

    with pytest.raises(DataError, match="holds no report data"):
        read_report_data(other)
