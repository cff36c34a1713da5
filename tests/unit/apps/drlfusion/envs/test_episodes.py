"""Random starts: the stream against its definition in plain integers, and a quote that is the one of a back-test."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.simulation import environment
from tradesentry.apps.drlfusion.envs.episodes import CHECKPOINT_BARS, SLOT, draw, next_random
from tradesentry.core.domain.records import QUOTE
from tradesentry.core.execution.quotes import observe
from tradesentry.core.utils.kernel import kernel, new_records

MASK = 2**64 - 1


@kernel
def _draw_many(slots, n, out):
    for i in range(out.shape[0]):
        out[i] = draw(slots[0], n) if n > 0 else next_random(slots[0])


def drawn(state, n, count=20):
    slots = np.zeros(1, SLOT)
    slots["random"] = np.uint64(state)
    out = np.zeros(count, np.int64)
    _draw_many(slots, n, out)
    return out.tolist()


def plain(state, count=20):
    """xorshift64* in Python's whole numbers; the upper 31 bits."""
    found = []
    for _ in range(count):
        state ^= state >> 12
        state = (state ^ state << 25) & MASK
        state ^= state >> 27
        found.append((state * 0x2545F4914F6CDD1D & MASK) >> 33)
    return found


@given(state=st.integers(1, MASK))
def test_random_numbers_follow_their_definition(state):
    assert drawn(state, 0) == plain(state)


@given(state=st.integers(1, MASK), n=st.integers(1, 2**31 - 1))
def test_draws_lie_below_their_bound(state, n):
    assert all(0 <= value < n for value in drawn(state, n))


def test_draws_are_even():
    counts = np.bincount(drawn(12_345, 10, 100_000), minlength=10)

    assert np.all(np.abs(counts - 10_000) < 4.5 * np.sqrt(10_000 * 0.9))


@kernel
def _observe_all(market, quote, bars):
    for i in range(bars.shape[0]):
        observe(market[0], quote[0], bars[i])


def test_an_episode_begins_with_the_quote_of_a_back_test_on_that_bar(run, data):
    """Also right before and after a kept quote."""
    starts = [450, 2 * CHECKPOINT_BARS - 1, 2 * CHECKPOINT_BARS, 2 * CHECKPOINT_BARS + 1, 1_000]
    env = environment(run, data, n_envs=len(starts), episode_bars=50)

    env.reset(rows=[2] * len(starts), starts=starts)

    for i, start in enumerate(starts):
        quote = new_records(1, QUOTE)
        quote["atr"] = np.nan
        _observe_all(data.markets[2:3].view(np.ndarray), quote.view(np.ndarray), data.bars[2, : start + 1])
        assert env._present[2 * i].tobytes() == quote[0].tobytes()


def test_a_new_episode_remembers_nothing_of_the_one_before(run, data):
    """Every record of an environment that has traded, ended and begun anew equals that of a fresh one."""
    used = environment(run, data, n_envs=3, episode_bars=40, seed=2)
    fresh = environment(run, data, n_envs=3, episode_bars=40, seed=2)
    rng = np.random.default_rng(0)
    used.reset()
    for _ in range(95):
        used.step(rng.uniform(-1.0, 1.0, 3))
    rows, starts = [0, 1, 2], [500, 600, 700]

    seen = used.reset(rows=rows, starts=starts).copy()
    expected = fresh.reset(rows=rows, starts=starts).copy()

    assert np.array_equal(seen, expected)
    assert np.array_equal(used.actions["holding"], fresh.actions["holding"])
    targets = rng.uniform(-1.0, 1.0, (39, 3))
    for wished in targets:
        a, b = used.step(wished), fresh.step(wished)
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[1], b[1])
    for name in ("balance", "equity", "peak_equity", "day_start_equity", "trading_state", "n_trades_today"):
        assert np.array_equal(used._accounts[name], fresh._accounts[name])
    for name in ("realized", "unrealized", "settled", "day_start_value", "is_locked", "flatten_reason", "n_queue"):
        assert np.array_equal(used._books[name], fresh._books[name])
