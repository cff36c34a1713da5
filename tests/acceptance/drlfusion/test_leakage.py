"""Knowledge of the future: the app's own steps are clean, and every planted leak is caught by a detector."""

from functools import cache

import pytest

from tradesentry.apps.drlfusion.audit import audit, audited_run, pipeline_of
from tradesentry.apps.drlfusion.audit_plants import plants

CAUGHT_BY = {
    "feature centered on all bars": {"poison", "truncation"},
    "feature filled from behind": {"poison", "truncation"},
    "higher timeframe before its close": {"poison", "truncation"},
    "odd feature made even": {"mirror"},
    "normalizer fitted on all bars": {"fit_range"},
    "turbulence quantile of all bars": {"fit_range"},
    "normalizer updated in evaluation": {"evaluation"},
    "episode across the boundary": {"episodes"},
    "result credited on the bar of the decision": {"lag"},
    "fill at the observed close": {"fill"},
    "spread of zero": {"fill"},
    "gap at the roll-over carried as profit": {"profit"},
}


@cache
def clean():
    run = audited_run("shipped")
    return run, pipeline_of(run)


def odd_ones(pipeline):
    run, _ = clean()
    return {finding.name: finding.detail for finding in audit(pipeline, run.markets[:1]) if not finding.is_clean}


def test_the_apps_own_steps_are_clean():
    run, pipeline = clean()

    assert odd_ones(pipeline) == {}
    assert len(run.data.series[0].bars) > 5_000
    assert len(pipeline.trades()) > 50


@pytest.mark.parametrize("leak", CAUGHT_BY)
def test_a_planted_leak_is_caught(leak):
    found = odd_ones(plants(clean()[1])[leak])

    assert CAUGHT_BY[leak] <= set(found), found


def test_every_plant_is_tried():
    assert set(plants(clean()[1])) == set(CAUGHT_BY)
