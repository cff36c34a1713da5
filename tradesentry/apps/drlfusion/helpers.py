"""The compiled pieces of drlfusion's decision, by name; the training environment calls the very same ones.

`observation` builds what the agents see, `holding` follows the own position, `networks` runs them, `targets` turns a
wish into intents. They lie in modules of their own for their size; whoever needs one takes it from here.
"""

from tradesentry.apps.drlfusion.holding import follow_position, observe_own
from tradesentry.apps.drlfusion.layout import (
    AGENTS,
    BARS_NEEDED,
    HOLDING,
    LEVELS,
    N_AGENTS,
    N_FEATURES,
    N_HIDDEN,
    N_LEVELS,
    N_MARKET,
    N_OUT,
    N_OWN,
    OBSERVER,
    PARAMS,
    STATE,
    Head,
    blank_params,
    day_table,
    fill_constants,
)
from tradesentry.apps.drlfusion.networks import exp_fixed, flip, forward, normal_cdf_fixed, normalize
from tradesentry.apps.drlfusion.observation import OBSERVATION, SIGNS, observe_market
from tradesentry.apps.drlfusion.targets import emit_target, shape_target, snap, turbulence_multiplier

__all__ = [
    "AGENTS",
    "BARS_NEEDED",
    "HOLDING",
    "LEVELS",
    "N_AGENTS",
    "N_FEATURES",
    "N_HIDDEN",
    "N_LEVELS",
    "N_MARKET",
    "N_OUT",
    "N_OWN",
    "OBSERVATION",
    "OBSERVER",
    "PARAMS",
    "SIGNS",
    "STATE",
    "Head",
    "blank_params",
    "day_table",
    "emit_target",
    "exp_fixed",
    "fill_constants",
    "flip",
    "follow_position",
    "forward",
    "normal_cdf_fixed",
    "normalize",
    "observe_market",
    "observe_own",
    "shape_target",
    "snap",
    "turbulence_multiplier",
]
