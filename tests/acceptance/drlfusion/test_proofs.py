"""The shipped agents through the proofs that every strategy passes, each with at least fifty trades; and the bits.

Nothing here trains or needs a learning library.
"""

from functools import cache

import numba
import numpy as np
import pytest

from tradesentry.apps.drlfusion.layout import PARAMS, STATE
from tradesentry.apps.drlfusion.model_package import load_model_set
from tradesentry.apps.drlfusion.strategy import DrlFusionStrategy, step
from tradesentry.backtest.proofs import checks_of
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import play
from tradesentry.core.execution.decide import step_signature
from tradesentry.core.strategy import checks
from tradesentry.core.utils.kernel import IS_COMPILED

RULES = ("quorum", "mean", "softmax", "select", "hedge", "gate")
LEAST_TRADES = 50


@cache
def run_of(rule="quorum", *, to="2022-07-01", **settings):
    """Half a year of the synthetic market with the planted pattern, which the agents were not trained on."""
    config = {"symbols": ["EURUSD"], "rule": rule, "block_days": 20}
    chosen = {"source": "synthetic:teaching", "from_": "2022-01-03", "to": to, "limits": "off"} | settings
    return resolve_run("drlfusion", config=config, settings=RunSettings(**chosen))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("check", ["look-ahead", "restart", "mirror"])
def test_every_rule_passes_the_proof(rule, check):
    """Blocks of 20 days, so that weights change. With one sign of the mirror missing the models are refused already."""
    found = checks_of(run_of(rule))[check]()

    assert found.is_passed, found.detail


def test_loop_and_bar_by_bar_driver_agree():
    found = checks_of(run_of())["parity"]()

    assert found.is_passed, found.detail


@pytest.mark.parametrize("rule", RULES)
def test_the_proofs_rest_on_enough_trades(rule):
    assert len(play(run_of(rule)).trades) >= LEAST_TRADES


@pytest.mark.parametrize("field", ["observer", "holding", "ensemble"])
def test_restart_notices_a_part_of_the_state_that_was_not_saved(field, monkeypatch):
    load = checks.load_records

    def forgetful(snapshot, dtype):
        records = load(snapshot, dtype)
        if dtype == DrlFusionStrategy.STATE:
            records[field].view(np.ndarray).view(np.uint8)[:] = 0
        return records

    monkeypatch.setattr(checks, "load_records", forgetful)

    assert not checks_of(run_of("softmax"))["restart"]().is_passed


def test_a_single_number_of_the_state_that_was_not_saved_is_noticed(monkeypatch):
    """The level of a shadow account, which weights hang on."""
    load = checks.load_records

    def forgetful(snapshot, dtype):
        records = load(snapshot, dtype)
        if dtype == DrlFusionStrategy.STATE:
            records["ensemble"]["agents"]["shadow_level"] = 0.0
        return records

    monkeypatch.setattr(checks, "load_records", forgetful)

    assert not checks_of(run_of("softmax"))["restart"]().is_passed


def test_shipped_agents_earn_what_was_planted_and_nothing_on_a_driftless_walk():
    """Held-out bars after costs: t of the mean daily result above 5. The walk is the zero-edge canary."""
    config = {"symbols": ["EURUSD", "GBPUSD", "AUDUSD"]}
    settings = RunSettings(source="synthetic:teaching", from_="2022-01-03", to="2023-03-01", limits="off")
    result = play(resolve_run("drlfusion", config=config, settings=settings))
    days = result.equity["ts_ns"].to_numpy() // 86_400_000_000_000
    last = np.append(np.flatnonzero(np.diff(days)), len(days) - 1)
    equity = result.equity["equity"].to_numpy()[last]
    daily = np.diff(equity) / equity[:-1]

    assert result.timing["bars"] >= 20_000
    assert len(result.trades) >= LEAST_TRADES
    assert daily.mean() / (daily.std(ddof=1) / np.sqrt(len(daily))) >= 5.0
    assert checks_of(run_of())["zero-edge"]().is_passed


def test_the_shipped_set_is_labeled_and_small():
    models = load_model_set("shipped", timeframe="H1")

    assert "planted" in models.models[0].meta["notice"]
    assert all(model.meta["data"]["is_synthetic"] for model in models.models)
    assert DrlFusionStrategy.notices(DrlFusionStrategy.Config()) == (models.models[0].meta["notice"],)


@pytest.mark.skipif(not IS_COMPILED, reason="looks at machine code")
def test_decision_contains_no_fused_multiply_add():
    """A fused one rounds once where two operations round twice, so processors with and without it would differ."""
    signature = step_signature(PARAMS, STATE)
    fresh = numba.njit(nogil=True, error_model="numpy", _nrt=False)(step.py_func)
    fresh.compile(signature.args)
    code = fresh.inspect_asm(signature.args)

    assert "mulps" in code or "fmul" in code
    assert not [name for name in ("fmadd", "fmsub", "fnmadd", "fmla", "fmls") if name in code]
