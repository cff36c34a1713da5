"""A beat reaches a real server every minute; silence, late beats and a blocked loop are told."""

import asyncio

import httpx
import pytest

from tests.support.receivers import Receiver
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.monitoring.heartbeat import Heartbeat, LoopLag, StreamAges

SECRET = "https://watcher.example/ping/s3cret-token"


class StallingClock(FakeClock):
    """A clock on which the process can stand still: time passes and nobody is woken."""

    def stall(self, seconds):
        self._move_to(self._elapsed_ns + round(seconds * 1e9))


class Watcher:
    """An outside watcher that answers as told, without a network."""

    def __init__(self, clock, *, statuses=()):
        self.clock, self.statuses, self.beats = clock, list(statuses), []

    def client(self):
        return httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    def answer(self, request):
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise httpx.ConnectError("refused by https://watcher.example/ping/s3cret-token", request=request)
        self.beats.append(self.clock.monotonic())
        return httpx.Response(status)


def played(*steps, statuses=(), health=None):
    """Run a heartbeat while the clock is moved; return (the heartbeat, the watcher, the alerts)."""
    clock = StallingClock(0)
    watcher, alerts = Watcher(clock, statuses=statuses), []

    async def work():
        async with watcher.client() as client:
            options = {} if health is None else {"health": health}
            heart = Heartbeat(client, SECRET, clock, alert=lambda *said: alerts.append(said), name="agent 1", **options)
            running = asyncio.create_task(heart.run())
            for step in steps:
                if step > 0:
                    await clock.advance(step)
                else:
                    clock.stall(-step)
            await clock.advance(0.0)
            running.cancel()
            return heart

    return asyncio.run(work()), watcher, alerts


def test_a_beat_goes_over_real_http_and_carries_no_account():
    receiver = Receiver()
    url = receiver.url.replace("json://", "http://")

    async def work():
        async with httpx.AsyncClient() as client:
            heart = Heartbeat(client, url, FakeClock(0), alert=lambda *said: None, name="agent 1")
            return await heart.beat()

    assert asyncio.run(work())
    receiver.close()
    assert receiver.payloads == [{"from": "agent 1"}]


def test_there_is_a_beat_every_minute_from_the_start_on():
    heart, watcher, alerts = played(200.0)

    assert watcher.beats == [0.0, 60.0, 120.0, 180.0]
    assert (heart.last_beat_at, heart.n_missed, alerts) == (180.0, 0, [])


def test_a_beat_that_fails_once_is_tried_again_and_nobody_is_told():
    heart, watcher, alerts = played(59.0, statuses=[0, 500, 200])

    assert watcher.beats == [10.0, 20.0]
    assert (heart.n_missed, alerts) == (0, [])


def test_a_beat_that_the_watcher_never_took_is_told_without_its_address():
    """Seen to fail with the error's own text, which holds the address."""
    heart, _, alerts = played(59.0, statuses=[503, 503, 0])

    ((code, text),) = alerts
    assert code == "heartbeat_missed"
    assert "watcher.example did not take the heartbeat of agent 1: no answer (ConnectError)" in text
    assert "s3cret" not in text
    assert heart.n_missed == 1


def test_beats_are_withheld_while_the_process_does_not_do_its_work():
    """Seen to fail when the beat went out all the same: the watcher saw nothing."""
    problems = [None, "events is silent for 30 s.", None]

    heart, watcher, alerts = played(130.0, health=lambda: problems.pop(0))

    assert watcher.beats == [0.0, 120.0]
    assert [code for code, _ in alerts] == ["heartbeat_withheld"]
    assert "events is silent for 30 s." in alerts[0][1]
    assert heart.n_missed == 0


def test_a_process_that_stood_still_tells_so_and_beats_at_once():
    """Asleep until 60, woken at 150. Seen to fail without the check: the gap went unnoticed inside."""
    _, watcher, alerts = played(1.0, -149.0, 1.0)

    assert [code for code, _ in alerts] == ["heartbeat_late"]
    assert "90 s late" in alerts[0][1]
    assert watcher.beats == [0.0, 150.0]


def test_an_address_that_cannot_be_reached_is_a_missed_beat_and_no_error():
    async def work():
        alerts = []
        clock = FakeClock(0)
        async with httpx.AsyncClient() as client:
            heart = Heartbeat(client, "http://127.0.0.1:1/x", clock, alert=lambda *said: alerts.append(said))
            beat = asyncio.create_task(heart.beat())
            while not beat.done():
                await clock.advance(10.0)
                await asyncio.wait({beat}, timeout=0.01)
            return beat.result(), [code for code, _ in alerts]

    assert asyncio.run(work()) == (False, ["heartbeat_missed"])


# The event loop


def lags(*steps, blocked_seconds=2.0):
    """Measure while the clock moves in `steps`, stalls below 0."""
    clock, alerts = StallingClock(0), []
    lag = LoopLag(clock, alert=lambda *said: alerts.append(said), blocked_seconds=blocked_seconds)

    async def work():
        running = asyncio.create_task(lag.run())
        await clock.advance(0.0)
        for step in steps:
            if step > 0:
                await clock.advance(step)
            else:
                clock.stall(-step)
        await clock.advance(0.0)
        running.cancel()

    asyncio.run(work())
    return lag, alerts


def test_a_loop_that_keeps_up_has_no_lag():
    lag, alerts = lags(5.0)

    assert (lag.take_worst(), lag.quantile(0.99), alerts) == (pytest.approx(0.0), pytest.approx(0.0), [])


def test_a_loop_that_was_blocked_shows_for_how_long_once():
    """Blocked for half a second while a sleep of 0.1 s was due."""
    lag, alerts = lags(1.0, -0.5)

    assert lag.take_worst() == pytest.approx(0.4)
    assert lag.take_worst() == 0.0
    assert lag.quantile(1.0) == pytest.approx(0.4)
    assert alerts == []


def test_a_long_block_is_told():
    _, alerts = lags(1.0, -3.1)

    ((code, text),) = alerts
    assert code == "loop_blocked"
    assert "3.0 s" in text


# Streams


def test_a_stream_is_as_old_as_its_silence_and_dead_beyond_its_limit():
    clock = StallingClock(0)
    ages = StreamAges(clock, limits={"events": 20.0, "quotes": 10.0})
    clock.stall(8.0)
    ages.heard("quotes")
    ages.heard("bars")
    clock.stall(9.0)
    alive = ages.problem()
    clock.stall(4.0)

    assert ages.ages == {"events": 21.0, "quotes": 13.0, "bars": 13.0}
    assert alive is None
    assert ages.problem() == "events is silent for 21 s (allowed 20 s); quotes is silent for 13 s (allowed 10 s)."
