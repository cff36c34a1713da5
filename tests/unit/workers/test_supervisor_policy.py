"""When a supervisor starts what has ended, and in which order it ends what runs, on a clock that a test moves."""

import asyncio

from tests.support.scripted_processes import ScriptedProcess
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import DatabaseError
from tradesentry.workers.supervisor import RestartPolicy, Supervisor


def supervised(tmp_path, kept, seconds, *, policy=None):
    """Run a supervisor for that long; return (exit code or None while it runs, its clock)."""
    clock = FakeClock(0)
    for one in kept:
        one.clock = clock

    async def work():
        stop = asyncio.Event()
        task = asyncio.create_task(Supervisor(kept, tmp_path, clock, policy=policy).run(stop))
        await clock.advance(seconds)
        ended = task.result() if task.done() else None
        stop.set()
        for _ in range(100):
            await clock.advance(0.2)
            if task.done():
                break
        await task
        return ended

    return asyncio.run(work())


def test_pauses_double_from_a_fifth_of_a_second_to_ten_seconds(tmp_path):
    """Each life lasts 12 s, so ten starts take longer than the minute in which they would end everything.

    Seen to fail: with the pause reset after every start all pauses were 0.2 s.
    """
    process = ScriptedProcess("a", tmp_path, lives=[12.0] * 20)

    code = supervised(tmp_path, [process], 145.0)

    ends = [round(began + 12.0, 3) for began in process.began]
    pauses = [round(began - end, 3) for end, began in zip(ends, process.began[1:], strict=False)]
    assert code is None
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_minute_of_health_makes_the_next_pause_short_again(tmp_path):
    """Seen to fail: without the reset the pause after the long life was 0.8 s."""
    process = ScriptedProcess("a", tmp_path, lives=[1.0, 1.0, 61.0, 1e9])

    supervised(tmp_path, [process], 70.0)

    assert [round(began, 3) for began in process.began[:4]] == [0.0, 1.2, 2.6, 63.8]


def test_ten_starts_within_a_minute_end_everything_with_the_last_words(tmp_path, capsys):
    process = ScriptedProcess("a", tmp_path, lives=[0.1] * 20)
    process.log_file.write_text("".join(f"line {n}\n" for n in range(50)))
    other = ScriptedProcess("b", tmp_path, lives=[1e9])

    code = supervised(tmp_path, [process, other], 59.0)

    said = capsys.readouterr().err
    assert code == 1
    assert len(process.began) == 10
    assert other.is_ended
    assert "a ended 10 times within 60 s, so everything is ended." in said
    assert "line 9\n" not in said
    assert "  line 10\n" in said
    assert "  line 49\n" in said


def test_what_cannot_be_started_counts_as_ended_and_is_tried_again(tmp_path):
    process = ScriptedProcess("a", tmp_path, lives=[1e9], failures=[DatabaseError("no"), DatabaseError("no")])

    code = supervised(tmp_path, [process], 5.0)

    assert code is None
    assert [round(began, 3) for began in process.began] == [0.6]


def test_higher_stages_end_first_and_all_share_the_time(tmp_path):
    """The agent takes 3 of 5 s; the relay, which does not end by itself, has what is left, and the database its own.

    Seen to fail: with all stages ended at once the database was stopped first.
    """
    order = []
    kept = [
        ScriptedProcess("postgres", tmp_path, lives=[1e9], stage=0, stops_after=0.0, order=order),
        ScriptedProcess("relay", tmp_path, lives=[1e9], stage=1, stops_after=1e9, order=order),
        ScriptedProcess("agent", tmp_path, lives=[1e9], stage=2, stops_after=3.0, order=order),
    ]

    supervised(tmp_path, kept, 1.0, policy=RestartPolicy(stop_seconds=5.0))

    assert [name for name, _ in order] == ["agent", "relay", "postgres"]
    assert [round(seconds, 1) for _, seconds in order] == [3.0, 2.0, 0.0]


def test_a_stage_can_be_started_anew_without_those_below_it(tmp_path):
    clock = FakeClock(0)
    kept = [ScriptedProcess(name, tmp_path, lives=[1e9] * 3, stage=n) for n, name in enumerate(("postgres", "agent"))]
    for one in kept:
        one.clock = clock

    async def work():
        stop = asyncio.Event()
        supervisor = Supervisor(kept, tmp_path, clock)
        task = asyncio.create_task(supervisor.run(stop))
        await clock.advance(1.0)
        supervisor.restart(from_stage=1)
        await clock.advance(1.0)
        starts = dict(supervisor.n_starts)
        stop.set()
        await clock.advance(1.0)
        await task
        return starts

    assert asyncio.run(work()) == {"postgres": 1, "agent": 2}
