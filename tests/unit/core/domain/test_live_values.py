"""The values of live trading: ids, money at the border, times, and the clock that tests move."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.core.domain.clock import FakeClock, format_time, parse_time_ns, within
from tradesentry.core.domain.errors import BrokerProtocolError, UsageError
from tradesentry.core.domain.live_orders import client_order_id, order_number, parse_client_order_id
from tradesentry.core.domain.money import decimal_of, floor_to_step, price_text, round_to_tick, units_text


@given(instance=st.integers(0, 2**15 - 1), seq=st.integers(1, 2**48 - 1))
def test_an_order_id_has_17_characters_and_reads_back(instance, seq):
    text = client_order_id(instance, seq)

    assert len(text) == 17
    assert parse_client_order_id(text) == (instance, seq)
    assert order_number(instance, seq) < 2**63


@pytest.mark.parametrize(
    "text", [None, "", "ts1-", "ts2-aaaaaaaaaaaab", "ts1-aaaaaaaaaaaaa", "ts1-aaaaaaaaaaaa1", "77"]
)
def test_what_is_not_ours_is_not_read_as_ours(text):
    assert parse_client_order_id(text) is None


@pytest.mark.parametrize(("instance", "seq"), [(-1, 1), (2**15, 1), (0, 0), (0, 2**48)])
def test_an_id_out_of_range_is_refused(instance, seq):
    with pytest.raises(UsageError, match="48"):
        client_order_id(instance, seq)


@given(ts_ns=st.integers(1, 4_000_000_000 * 10**9))
def test_times_read_back_to_the_nanosecond(ts_ns):
    assert parse_time_ns(format_time(ts_ns)) == ts_ns


@pytest.mark.parametrize(
    ("text", "ts_ns"),
    [
        ("0", 0),
        ("", 0),
        ("1704801600.123456789", 1_704_801_600_123_456_789),
        ("1704801600", 1_704_801_600_000_000_000),
        ("2024-01-09T12:00:00Z", 1_704_801_600_000_000_000),
        ("2024-01-09T14:00:00.5+02:00", 1_704_801_600_500_000_000),
    ],
)
def test_vendors_times_are_read(text, ts_ns):
    assert parse_time_ns(text) == ts_ns


@pytest.mark.parametrize("text", ["yesterday", "2024-01-09", "12:00"])
def test_a_time_that_cannot_be_read_is_no_time(text):
    with pytest.raises(BrokerProtocolError, match="neither RFC 3339 nor UNIX"):
        parse_time_ns(text)


@given(units=st.decimals(0, 10**9, places=4), step=st.sampled_from([Decimal(1), Decimal("0.01"), Decimal(1_000)]))
def test_units_go_down_to_the_step_and_never_up(units, step):
    result = floor_to_step(units, step)

    assert result <= units < result + step
    assert result % step == 0


@given(price=st.floats(0.5, 200.0), digits=st.sampled_from([3, 5]))
def test_a_price_is_written_with_exactly_its_decimals_and_stays_where_it_is(price, digits):
    tick = 10.0**-digits

    text = price_text(price, tick=tick, digits=digits)

    assert len(text.split(".")[1]) == digits
    assert abs(float(text) - price) <= tick / 2 * (1 + 1e-6)
    assert round_to_tick(float(text), tick, digits=digits) == float(text)


def test_units_have_no_exponent():
    assert units_text(Decimal("1E+6"), digits=0) == "1000000"
    assert units_text(Decimal("-12.50"), digits=1) == "-12.5"


@pytest.mark.parametrize("value", ["nan", float("inf"), "ten"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(BrokerProtocolError, match="where a number belongs"):
        decimal_of(value)


def test_sleepers_wake_in_the_order_of_their_alarms():
    async def case():
        clock, woken = FakeClock(0), []

        async def sleep(seconds):
            await clock.sleep(seconds)
            woken.append((seconds, clock.monotonic(), clock.now_ns()))

        tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3.0, 1.0, 2.0, 9.0)]
        await clock.advance(5.0)
        tasks[-1].cancel()
        return woken

    assert asyncio.run(case()) == [(s, s, int(s * 1e9)) for s in (1.0, 2.0, 3.0)]


def test_work_that_takes_too_long_is_canceled():
    async def case():
        clock, log = FakeClock(0), []

        async def work():
            try:
                await clock.sleep(10.0)
            except asyncio.CancelledError:
                log.append("canceled")
                raise

        task = asyncio.create_task(within(clock, 2.0, work()))
        await clock.advance(3.0)
        with pytest.raises(TimeoutError):
            await task
        return log, await asyncio.wait_for(within(clock, 2.0, asyncio.sleep(0, "done")), 5)

    assert asyncio.run(case()) == (["canceled"], "done")
