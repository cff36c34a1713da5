"""What the gates are told of an account that holds what its own run does not trade."""

from dataclasses import replace

from tests.support.recovering import Site, play
from tests.support.venues import entry

SYMBOLS = ("EURUSD", "USDJPY", "EURJPY")


async def bought_beside_a_trade_by_hand(*, is_rate_shown):
    """Hold EURJPY by hand in an account of USD, then ask for EURUSD; return the owner and what became of it."""
    site = Site(symbols=SYMBOLS)
    site.show(165.0, symbol="EURJPY", spread=0.02)
    site.venue.place(replace(entry(1, symbol="EURJPY", stop=164.0), client_order_id=""))
    owner = await site.own()
    await owner.recover()
    if not is_rate_shown:
        site.venue.quotes.pop("USDJPY")
    return owner, await owner.buy()


def test_the_pair_that_turns_a_trade_into_the_accounts_money_is_read_though_no_run_trades_it():
    """Seen to fail: with 1 where no rate is known the 10,000 EURJPY counted as 1,650,000 USD and denied the entry."""
    owner, sent = play(bought_beside_a_trade_by_hand(is_rate_shown=True))

    assert sent.is_allowed
    assert "USDJPY" in owner.orders.desk.entry_gates.quotes


def test_without_that_pair_nothing_is_entered():
    _, sent = play(bought_beside_a_trade_by_hand(is_rate_shown=False))

    assert sent.verdict.code == "rate_unknown"
    assert "JPY" in sent.verdict.text
