"""Networks to the bit: the order of every sum, and the two fixed functions against the library's."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.apps.drlfusion.factories import hand_made, observations, random_network
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.layout import STATE, Head, blank_params
from tradesentry.apps.drlfusion.model_checks import agent_shares
from tradesentry.apps.drlfusion.networks import exp_fixed, forward, normal_cdf_fixed
from tradesentry.core.utils.kernel import new_records

F32 = np.float32


def slow_forward(network, observation):
    """The same sums written out: bias first, then input by input, every operation rounded to float32."""
    values = observation.astype(F32)
    for layer in (1, 2, 3):
        weights, total = network[f"w{layer}"], network[f"b{layer}"].astype(F32).copy()
        for i, value in enumerate(values):
            total = (total + (value * weights[i]).astype(F32)).astype(F32)
        values = np.maximum(total, F32(0)) if layer < 3 else total
    return values


@pytest.mark.parametrize("agent", range(4))
def test_forward_adds_input_by_input_in_index_order(agent):
    """Seen to fail: with pairs of inputs added first, and with weights transposed."""
    params, state = blank_params(DrlFusionConfig()), new_records(1, STATE)[0]
    network = random_network(agent)
    for name, values in network.items():
        params[name][0, agent] = values

    for row in observations(32, seed=agent):
        state.obs[:] = row
        forward(params[0], agent, state.obs, state.h1, state.h2, state.out)
        assert state.out.tobytes() == slow_forward(network, row).tobytes()


@given(st.floats(-700, 700))
def test_exponential_is_right_to_eleven_digits(x):
    assert exp_fixed(x) == pytest.approx(math.exp(x), rel=1e-11)


@given(st.floats(-40, 40))
def test_normal_distribution_is_right_to_seven_digits(x):
    assert normal_cdf_fixed(x) == pytest.approx(statistics.NormalDist().cdf(x), abs=1e-7)


def test_normal_distribution_ends_at_nothing_and_all():
    assert normal_cdf_fixed(-math.inf) == pytest.approx(0.0, abs=1e-300)
    assert normal_cdf_fixed(math.inf) == 1.0


def test_a_policy_that_ignores_its_input_is_exactly_flat():
    """Buy and hold for ever is impossible. Seen to fail: with the mirrored shares not reversed."""
    network = hand_made({}) | {"b3": np.array([-1, 0.5, 0.2, 1, 3], F32)}
    shares = agent_shares(network, Head.LOGITS, 1.0, observations())

    assert (shares[:, 4] - shares[:, 0] == 0).all()
    assert (shares[:, 3] - shares[:, 1] == 0).all()
