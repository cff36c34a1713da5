"""The live commands in front of a venue: what they need before they touch it, and what a person does in an emergency.

A fake OANDA behind real HTTP.
"""

import json

import pytest

from tests.support.live_cli import ACCOUNT, fake_oanda
from tests.support.venues import entry, quote_at
from tradesentry.core.domain.orders import OrderType
from tradesentry.database.accounts import Accounts
from tradesentry.database.roles import APP, DATABASE


@pytest.mark.parametrize(
    ("secrets", "more", "code", "message"),
    [
        ({}, (), 2, "OANDA_ACCOUNT is not set, so it is not known which account is meant."),
        ({"OANDA_ACCOUNT": ACCOUNT}, (), 2, "OANDA_TOKEN is not set, so OANDA cannot be reached."),
        ({"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "wrong"}, (), 4, "Check the token, its account and whether"),
        ({"OANDA_ACCOUNT": "001-001-7654321-009", "OANDA_TOKEN": "token"}, (), 4, "OANDA answered /v3/accounts/…"),
        (
            {"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token", "OANDA_ENVIRONMENT": "live"}, (), 2,
            f"oanda account {ACCOUNT} holds real money and nothing was confirmed. Nothing was started.",
        ),
        (
            {"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token", "OANDA_ENVIRONMENT": "live"}, ("--confirm", "other"), 2,
            f"add --confirm {ACCOUNT}",
        ),
        (
            {"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token"}, ("--account", "001-001-0000000-777"), 2,
            "the linked account is …777",
        ),
        ({"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token"}, ("--replay", "synthetic"), 2, "need --broker paper"),
    ],
    ids=[
        "no account", "no token", "wrong token", "wrong account", "real money", "wrong confirm", "other account",
        "replay",
    ],
)  # fmt: skip
def test_a_venue_is_reached_only_with_what_it_needs(tradesentry, monkeypatch, secrets, more, code, message):
    with fake_oanda() as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)

        got, out, err = tradesentry("live", "breakout", "--symbols", "EURUSD", "--broker", "oanda", *more)

        assert got == code, err
        assert message in err
        assert err.count("Error:") == 1
        assert "Traceback" not in err
        assert out == ""
        assert server.n_commands == 0


def test_agents_trained_on_generated_prices_never_reach_real_money_even_when_it_is_confirmed(tradesentry, monkeypatch):
    """Seen to fail: with the app not asked when the plan is made."""
    with fake_oanda() as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        secrets = {"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token", "OANDA_ENVIRONMENT": "live"}
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)

        got, out, err = tradesentry("live", "drlfusion", "--broker", "oanda", "--confirm", ACCOUNT)

        assert (got, out, server.n_commands) == (2, "", 0)
        assert "were trained on generated prices and this account holds real money. Nothing overrides this." in err


def test_an_account_linked_as_a_demo_is_never_traded_as_a_real_one(tradesentry, monkeypatch, home):
    monkeypatch.setenv("OANDA_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("OANDA_TOKEN", "token")
    with fake_oanda() as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        settings = {"currency": "USD", "environment": "practice", "symbols": ["EURUSD"]}
        tradesentry("db", "init")
        Accounts(home[1].url(APP, DATABASE)).link(
            broker="oanda", account_ref=ACCOUNT, environment="demo", settings=settings
        )
        monkeypatch.setenv("OANDA_ENVIRONMENT", "live")

        code, _, err = tradesentry(
            "live", "breakout", "--symbols", "EURUSD", "--broker", "oanda", "--confirm", ACCOUNT
        )  # fmt: skip

        assert code == 2
        assert "Account …001 at oanda is linked as demo and was now given as real" in err
        assert server.n_commands == 0


def test_break_glass_closes_everything_twice_without_harm(tradesentry, monkeypatch):
    """Entries first, so that none opens what is closed after it; the second call finds nothing."""
    monkeypatch.setenv("OANDA_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("OANDA_TOKEN", "token")
    with fake_oanda(symbols=("EURUSD",)) as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        server.venue.on_quote(quote_at(1.1))
        server.venue.place(entry(1))
        server.venue.place(entry(2, kind=OrderType.LIMIT, price=1.05, stop=1.04))

        wrong = tradesentry("broker", "flatten", "--confirm", "other")
        first = tradesentry("broker", "flatten", "--confirm", ACCOUNT, "--without-database")
        second = tradesentry("broker", "flatten", "--confirm", ACCOUNT, "--without-database")

        assert wrong[0] == 2
        assert [first[0], second[0]] == [0, 0], first[2] + second[2]
        assert [line.split("\t")[0] for line in first[1].splitlines()] == ["command", "cancel", "close"]
        assert second[1] == ""
        assert "nothing was open" in second[2]
        assert server.venue.open_trades() == []
        assert server.venue.resting() == []


def test_a_recording_holds_every_read_and_no_account_number(tradesentry, monkeypatch, tmp_path):
    monkeypatch.setenv("OANDA_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("OANDA_TOKEN", "token")
    with fake_oanda(symbols=("EURUSD",)) as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        server.venue.on_quote(quote_at(1.1))

        code, _, err = tradesentry("broker", "record", "oanda", "--demo", "--out", tmp_path / "r.jsonl")

        text = (tmp_path / "r.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        assert code == 0, err
        assert [line["call"] for line in lines][:4] == ["connect", "server_clock", "instruments", "get_balance"]
        assert ACCOUNT not in text
        assert "token" not in text
        assert all(("result" in line) != ("error" in line) for line in lines)
        assert server.n_commands == 0
