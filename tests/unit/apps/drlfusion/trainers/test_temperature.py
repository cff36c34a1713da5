"""The temperature of action values: as certain as PPO, within bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.apps.drlfusion.trainers.temperature import COLDEST, HOTTEST, fit_temperature, mean_entropy


def softmax(values, temperature):
    scaled = values / temperature
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@given(st.floats(-2.0, 0.9), st.integers(0, 100))
def test_the_fitted_temperature_gives_back_the_entropy_it_was_made_from(log_temperature, seed):
    values = np.random.default_rng(seed).normal(size=(50, 5))
    wanted = mean_entropy(softmax(values, 10**log_temperature))

    found = fit_temperature(lambda t: mean_entropy(softmax(values, t)), wanted)

    assert found == pytest.approx(10**log_temperature, rel=1e-6)


def test_the_temperature_stays_within_its_bounds():
    values = np.random.default_rng(0).normal(size=(50, 5))

    assert fit_temperature(lambda t: mean_entropy(softmax(values, t)), -1.0) == COLDEST
    assert fit_temperature(lambda t: mean_entropy(softmax(values, t)), 2.0) == HOTTEST


def test_entropy_is_zero_for_certainty_and_the_logarithm_of_five_for_none():
    assert mean_entropy(np.array([[0.0, 0.0, 1.0, 0.0, 0.0]])) == 0.0
    assert mean_entropy(np.full((3, 5), 0.2)) == pytest.approx(math.log(5))
