"""Logs: one event a line, terminal or JSON, a rotating file, and no secret in any of them."""

import io
import json
import logging
import threading
import uuid
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.utils.logger import (
    collect_lines,
    configure_logging,
    get_logger,
    log_context,
    mask_account,
    mask_secrets,
    reset_logging,
    scrub,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _fresh_logging():
    yield
    reset_logging()


@pytest.fixture
def lines():
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_event_is_one_json_object_with_time_level_and_logger(lines):
    get_logger("tradesentry.orders").info("order_filled", instrument="EUR_USD", size_units=10_000, price=1.0843)

    event = lines()[0]

    assert event.pop("ts").endswith("Z")
    assert event == {
        "event": "order_filled",
        "instrument": "EUR_USD",
        "size_units": 10_000,
        "price": 1.0843,
        "level": "info",
        "logger": "tradesentry.orders",
    }


def test_terminal_gets_a_readable_line_and_a_pipe_gets_json(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    configure_logging("info", stream=terminal)

    get_logger("tradesentry.orders").warning("spread_wide", spread_pips=4.5)

    assert "spread_wide" in terminal.getvalue()
    assert "spread_pips=4.5" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_logs_go_to_stderr_and_results_stay_alone_on_stdout(capsys):
    configure_logging("info")

    get_logger().info("run_started")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "run_started"


def test_level_hides_what_is_less_important(lines):
    configure_logging("warning", stream=(stream := io.StringIO()))

    get_logger("tradesentry.a").info("hidden")
    get_logger("tradesentry.a").error("shown")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["shown"]
    assert lines() == []


def test_second_set_up_replaces_the_first_one():
    first, second = io.StringIO(), io.StringIO()
    configure_logging(stream=first)
    configure_logging(stream=second)

    get_logger().info("once")

    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_lines_of_other_packages_take_the_same_form_from_warning_on(lines):
    logging.getLogger("some.package").info("hidden")
    logging.getLogger("some.package").warning("disk %s", "full")

    events = lines()

    assert [(event["event"], event["level"], event["logger"]) for event in events] == [
        ("disk full", "warning", "some.package")
    ]


def test_warnings_become_log_lines(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging(stream=(stream := io.StringIO()))
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
        reset_logging()

    assert "old way" in stream.getvalue()
    assert lines() == []


def test_bound_fields_are_in_every_event_of_the_block_and_of_no_other_thread(lines):
    log = get_logger("tradesentry.live", app="smgrid")
    with log_context(client_order_id="c-1"):
        log.info("inside")
        other = threading.Thread(target=lambda: log.info("elsewhere"))
        other.start()
        other.join()
    log.info("after")

    events = {event["event"]: event for event in lines()}

    assert events["inside"]["client_order_id"] == "c-1"
    assert "client_order_id" not in events["elsewhere"]
    assert "client_order_id" not in events["after"]
    assert {event["app"] for event in events.values()} == {"smgrid"}


@pytest.mark.parametrize(
    "name",
    ["password", "OANDA_TOKEN", "api_key", "apiKey", "secret", "Authorization", "set-cookie", "jwt_private_key", "kek"],
)
def test_value_of_a_secret_name_is_masked(lines, name):
    get_logger().info("called", **{name: "hunter2"})

    assert lines()[0][name] == "***"


def test_secrets_are_masked_at_any_depth_and_in_lists(lines):
    get_logger().info("called", request={"headers": [{"authorization": "Bearer abcdefgh"}], "body": {"password": "x"}})

    assert lines()[0]["request"] == {"headers": [{"authorization": "***"}], "body": {"password": "***"}}


def test_names_that_only_look_secret_stay_readable(lines):
    get_logger().info("queued", idempotency_key="k-1", dedupe_key="d-1", key="fast_bars", params_digest="ab")

    event = lines()[0]

    assert (event["idempotency_key"], event["dedupe_key"], event["key"]) == ("k-1", "d-1", "fast_bars")


def test_account_number_keeps_its_last_four_digits_only(lines):
    get_logger().info("leased", account="101-004-1234567-001", login=50012345, account_currency="USD")

    event = lines()[0]

    assert (event["account"], event["login"]) == ("***-***-******7-001", "****2345")
    assert event["account_currency"] == "USD"


def test_own_account_ids_and_names_stay_readable():
    account = str(uuid.UUID(int=7))

    assert mask_account(account) == account
    assert mask_account("paper-demo") == "paper-demo"


def test_credentials_inside_text_are_masked_also_in_tracebacks(lines):
    try:
        raise RuntimeError("cannot reach postgresql://trader:hunter2@db/x with Bearer abc.def.ghi")
    except RuntimeError:
        get_logger().exception("connect_failed", detail="see https://bob:pw@host/path")

    text = json.dumps(lines())

    assert "hunter2" not in text
    assert "abc.def.ghi" not in text
    assert "bob:pw" not in text
    assert "RuntimeError: cannot reach postgresql://***@db/x with Bearer ***" in lines()[0]["exception"]


@pytest.mark.parametrize("is_json", [True, False])
def test_traceback_shows_no_local_variables(is_json):
    stream = io.StringIO()
    configure_logging(json=is_json, stream=stream)
    hidden = "local-" + "secret-value"

    try:
        raise ValueError(len(hidden))
    except ValueError:
        get_logger().exception("failed")

    assert "ValueError" in stream.getvalue()
    assert "local-secret-value" not in stream.getvalue()


@given(secret=st.text(min_size=8, max_size=30).filter(lambda text: text.strip("*")), depth=st.integers(0, 12))
def test_no_secret_survives_however_deep_it_lies(secret, depth):
    """Fails when masking stops at mappings: a secret inside a list then survives."""
    value: object = {"token": secret}
    for i in range(depth):
        value = [value] if i % 2 else {"inner": value}

    masked = mask_secrets(None, "info", {"event": "called", "value": value})

    assert secret not in repr(masked["value"])


def test_values_json_cannot_say_are_said_in_words(lines, tmp_path):
    endless: dict[str, object] = {}
    endless["self"] = endless

    get_logger().info(
        "measured",
        ratio=float("nan"),
        limit=np.float32("inf"),
        n=np.int64(3),
        array=np.zeros(2),
        path=tmp_path,
        hidden=SecretStr("hunter2"),
        endless=endless,
    )

    event = lines()[0]
    assert (event["ratio"], event["limit"], event["n"]) == ("nan", "inf", 3)
    assert event["array"] == "[0. 0.]"
    assert event["path"] == str(tmp_path)
    assert "hunter2" not in str(event)


def test_file_gets_json_lines_and_rotates_without_losing_one(tmp_path):
    file = tmp_path / "logs" / "log.jsonl"
    configure_logging(stream=Terminal(), file=file, max_bytes=2_000, n_backups=9)

    for i in range(60):
        get_logger().info("counted", i=i)

    reset_logging()
    files = sorted(file.parent.iterdir())
    numbers = [json.loads(line)["i"] for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(files) > 2
    assert all(path.stat().st_size <= 2_000 for path in files)
    assert sorted(numbers) == list(range(60))


def test_log_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")

    with pytest.raises(ConfigError, match="cannot be written"):
        configure_logging(file=tmp_path / "file" / "log.jsonl")


def test_unknown_level_lists_the_known_ones():
    with pytest.raises(ConfigError, match="'loud' does not exist. Choose debug, info"):
        configure_logging("loud")


def test_before_any_set_up_only_warnings_are_shown(capsys):
    get_logger("tradesentry.quiet").info("hidden")

    assert capsys.readouterr() == ("", "")


def test_scrub_leaves_ordinary_text_alone():
    assert scrub("mail bob@example.com about EUR/USD at 12:30") == "mail bob@example.com about EUR/USD at 12:30"


def collected(block_lines):
    return [json.loads(line) for line in block_lines]


def test_a_block_collects_its_events_as_json_though_nothing_is_configured(capsys):
    with collect_lines(run_id="r1", app="breakout") as block:
        get_logger("tradesentry.runs").info("bars_played", bars=10, api_key="abc")
        get_logger("tradesentry.runs").debug("too_detailed")
    get_logger("tradesentry.runs").info("after")

    (event,) = collected(block)
    assert {
        "event": "bars_played",
        "bars": 10,
        "run_id": "r1",
        "app": "breakout",
        "level": "info",
    }.items() <= event.items()
    assert event["api_key"] == "***"
    assert capsys.readouterr().err == ""


def test_handlers_go_on_showing_what_they_showed():
    stream = io.StringIO()
    configure_logging("warning", stream=stream)

    with collect_lines() as block:
        get_logger().info("quiet")
        get_logger().warning("loud")
    get_logger().info("quiet_again")

    assert [line["event"] for line in collected(block)] == ["quiet", "loud"]
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_two_blocks_at_once_collect_each_their_own():
    """Without the token, each run's file would hold the events of both."""
    both_open, one_closed = threading.Barrier(2), threading.Event()
    found = {}

    def work(name, is_first):
        with collect_lines(run_id=name) as block:
            both_open.wait(timeout=10)
            if not is_first:
                one_closed.wait(timeout=10)
            get_logger().info("worked", by=name)
        found[name] = collected(block)
        if is_first:
            one_closed.set()

    threads = [threading.Thread(target=work, args=(name, name == "a")) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert {name: [(line["by"], line["run_id"]) for line in lines] for name, lines in found.items()} == {
        "a": [("a", "a")],
        "b": [("b", "b")],
    }
    assert logging.getLogger("tradesentry").level == logging.NOTSET


def test_a_block_inside_a_block_adds_to_both():
    with collect_lines() as outer:
        with collect_lines() as inner:
            get_logger().info("inside")
        get_logger().info("outside")

    assert [line["event"] for line in collected(outer)] == ["inside", "outside"]
    assert [line["event"] for line in collected(inner)] == ["inside"]
