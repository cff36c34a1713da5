"""The training environment: many accounts on the bars of a data set, stepped together, as stable learners want it.

A step costs a fraction of a microsecond and trades by the functions that the back-test trades by, so what an agent
learns is what it will be paid for. This class owns the memory and turns status codes into errors;
`simulation_env_helpers` has the loop. `GymnasiumView` and `sb3_vec_env` dress the same object for libraries, without
logic of their own, and load those libraries only when asked for.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.episodes import (
    ACTION,
    CHECKPOINT_BARS,
    ROW,
    SLOT,
    TEMPLATE,
    keep_quotes,
)
from tradesentry.apps.drlfusion.envs.large_pages import records_on_large_pages
from tradesentry.apps.drlfusion.envs.market_data import MarketData, ModelConstants, fit_constants
from tradesentry.apps.drlfusion.envs.rewards import RewardSettings
from tradesentry.apps.drlfusion.envs.simulation_env_helpers import apply_action, reset_all, step_all
from tradesentry.apps.drlfusion.helpers import BARS_NEEDED, N_FEATURES, PARAMS, blank_params
from tradesentry.core.domain.errors import ConfigError, DataError, TradeSentryError, UsageError
from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import (
    ACCOUNT,
    BOOK,
    INTENT,
    N_INTENTS,
    N_ORDERS,
    N_POSITIONS,
    QUOTE,
    REJECT,
    TRADE,
)
from tradesentry.core.domain.run_records import DESK, LANE, PAIR
from tradesentry.core.execution.decide import ANY_STEP, step_signature
from tradesentry.core.execution.setup import LimitSettings, limit_profile, new_account
from tradesentry.core.strategy.run_rules import rules_of
from tradesentry.core.utils.kernel import IS_COMPILED, address_of, function_pointer, native_address, new_records

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Info = dict[str, Any]
Action = Literal["discrete", "continuous"]

ROOM: Final = N_POSITIONS + N_ORDERS + 2 * N_INTENTS
"""Trades or refusals that one bar can cause."""
CAPITAL: Final = 10_000.0


def __getattr__(name: str) -> Any:
    """Load the view of gymnasium when it is asked for: the package is an extra."""
    if name == "GymnasiumView":
        from tradesentry.apps.drlfusion.envs.views import GymnasiumView

        return GymnasiumView
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _action_pointer() -> Any:
    return function_pointer(apply_action, exact=step_signature(PARAMS, ACTION), general=ANY_STEP)


def _seen(records: np.ndarray[Any, Any]) -> Any:
    """Return records as kernels take them fastest: without attributes where they are compiled."""
    return records.view(np.ndarray) if IS_COMPILED else records.view(np.recarray)


class SimulationEnv:
    """Accounts of one size, each in an episode of its own on bars of the data set.

    Args:
        bars: BAR array, shape (n_rows, n_bars); a row per market or mirror. Kept alive, never written.
        features: FEATURE array of the same shape.
        market: MARKET array, shape (n_rows,), index 0 (`market_data`).
        config: Configuration of the app: stops, sizes, levels, gates, week end.
        n_envs: Accounts side by side.
        episode_bars: Bars of an episode; its end is truncation, not termination.
        reward: Settings, or the name of a mode.
        first: First bar that may be read for a decision; decisions begin a warm-up later.
        last: Last bar that an episode may touch, inclusive; the last of each row when None.
        seed: Of the random numbers that choose rows and starts.
        unit_units: Fixes the full unit; None: from risk and stop as in trading.
        constants: Normalizer and gate of a model; `ModelConstants.plain()` when None.
        crosses: CROSS array where a market converts.
        lengths: Bars of each row; all of them when None.
        limits: Account limits, or the name of a profile.
        capital: Start balance of every episode, account currency.
        is_always_open: The markets have no week end.
        first_stream: Number of the first account's random stream.

    Raises:
        ConfigError: A number is out of bounds, or no episode fits between `first` and `last`.
        DataError: Bars, features and markets do not belong together, or bars lie outside the calendar.
    """

    def __init__(
        self,
        bars: npt.NDArray[Any],
        features: npt.NDArray[Any],
        *,
        market: Any,
        config: DrlFusionConfig,
        n_envs: int = 256,
        episode_bars: int = 256,
        reward: RewardSettings | str = "net",
        first: int = 0,
        last: int | None = None,
        seed: int = 0,
        unit_units: float | None = None,
        constants: ModelConstants | None = None,
        crosses: npt.NDArray[Any] | None = None,
        lengths: npt.NDArray[np.int64] | None = None,
        limits: LimitSettings | str = "default",
        capital: float = CAPITAL,
        is_always_open: bool = False,
        first_stream: int = 0,
    ) -> None:
        if bars.ndim != 2 or features.shape != bars.shape or len(market) != len(bars):
            raise DataError(
                f"Bars of shape {bars.shape}, features of shape {features.shape} and {len(market)} markets do not "
                "belong together. Build all three with market_data()."
            )
        if n_envs < 1 or episode_bars < 1:
            raise ConfigError(f"{n_envs} environments with episodes of {episode_bars} bars: both must be at least 1.")
        self.config, self.n_envs, self.episode_bars, self.seed = config, n_envs, episode_bars, seed
        self.reward = RewardSettings(mode=reward) if isinstance(reward, str) else reward
        self.capital, self.first_stream = capital, first_stream
        self.first = first
        self.lengths = np.full(len(bars), bars.shape[1], np.int64) if lengths is None else lengths
        self.last = np.minimum(self.lengths - 1, bars.shape[1] if last is None else last)
        self._check_room()
        self._data = (bars, features, market, crosses)
        self.params = blank_params(config)
        (constants or ModelConstants.plain()).fill(self.params.view(np.ndarray)[0])
        self.params["unit_units"] = unit_units or 0.0
        self._lay_out_rows()
        self._lay_out_accounts(limit_profile(limits) if isinstance(limits, str) else limits, is_always_open)
        self._observations = [np.zeros((n_envs, N_FEATURES), np.float32) for _ in range(2)]
        self._turn = 0
        self._ended = np.zeros((n_envs, 2), np.bool_)
        self._rewards = self.reward.record()
        self._nothing: Info = {}
        self._infos = [self._nothing] * n_envs
        self.terminal_observations: Float32Array = np.zeros((n_envs, N_FEATURES), np.float32)
        """Observations before the new episode, in the rows of environments that the last step ended."""
        self._arguments = tuple(
            _seen(part)
            for part in (
                self.params,
                self._template,
                self._rewards,
                self.slots,
                self._desks,
                self._accounts,
                self.actions,
            )
        )
        self._start_streams(seed)

    @classmethod
    def of(cls, data: MarketData, *, config: DrlFusionConfig, **settings: Any) -> "SimulationEnv":
        """Return an environment on a data set; a normalizer is fitted on its bars when none is given.

        Args:
            data: The data set.
            config: Configuration of the app.
            **settings: Arguments of the class.
        """
        last = settings.get("last")
        if settings.get("constants") is None:
            until = int(data.lengths.max()) - 1 if last is None else int(last)
            settings["constants"] = fit_constants(data, int(settings.get("first", 0)), until)
        return cls(
            data.bars,
            data.features,
            market=data.markets,
            config=config,
            crosses=data.crosses,
            lengths=data.lengths,
            is_always_open=data.is_always_open,
            **settings,
        )

    def reset(
        self, *, seed: int | None = None, rows: Sequence[int] | None = None, starts: Sequence[int] | None = None
    ) -> Float32Array:
        """Begin an episode everywhere and return the observations, shape (n_envs, 28).

        Args:
            seed: Starts the random numbers anew; they go on when None.
            rows: Row of the data set per environment, instead of a random one; with `starts`.
            starts: Bar at whose close each episode begins.

        Raises:
            ConfigError: A given start leaves the bars that may be touched.
        """
        if seed is not None:
            self._start_streams(seed)
        chosen, begun = self._chosen(rows, starts)
        out = self._next_buffer()
        params, template, _rewards, slots, desks, accounts, actions = self._arguments
        status = reset_all(params, template, slots, desks, accounts, actions, chosen, begun, out)
        if status != Status.OK:
            raise self._failure(int(status))
        return out

    def step(self, targets: npt.ArrayLike) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, list[Info]]:
        """Ask for exposures, play one bar everywhere, and return what it came to.

        Environments whose episode ends begin another one at once: their observation is its first, the last one of the
        old episode is in `terminal_observations` and in their info.

        Args:
            targets: Wished exposure per environment, -1 to 1; the nearest level is traded.

        Returns:
            Observations (n_envs, 28), which stay untouched by the next step and not by the one after; rewards,
            terminated, truncated (n_envs,); one info per environment, the same empty one for all that go on.

        Raises:
            UsageError: The targets have another shape or are not finite.
        """
        wished = np.ascontiguousarray(targets, np.float64)
        if wished.shape != (self.n_envs,) or not np.isfinite(wished).all():
            raise UsageError(
                f"Targets must be {self.n_envs} finite numbers; they have shape {wished.shape}. Check the"
                " policy for NaN."
            )
        out, paid = self._next_buffer(), np.empty(self.n_envs)
        params, template, rewards, slots, desks, accounts, actions = self._arguments
        written = (out, paid, self._ended, self.terminal_observations)
        n_ended = step_all(params, template, rewards, slots, desks, accounts, actions, self._intents, wished, *written)
        if n_ended < 0:
            raise self._failure(-int(n_ended))
        terminated, truncated = self._ended[:, 0].copy(), self._ended[:, 1].copy()
        return out, paid, terminated, truncated, self._told(terminated, truncated) if n_ended else self._infos

    @property
    def equities(self) -> FloatArray:
        """Return the equity of every account, account currency, shape (n_envs,)."""
        found: FloatArray = self.slots["equity"].copy()
        return found

    def _told(self, terminated: BoolArray, truncated: BoolArray) -> list[Info]:
        """Return the infos of a step on which episodes ended."""
        infos = list(self._infos)
        for i in np.flatnonzero(terminated | truncated):
            infos[i] = {
                "terminal_observation": self.terminal_observations[i].copy(),
                "TimeLimit.truncated": bool(truncated[i]),
            }
        return infos

    def _next_buffer(self) -> Float32Array:
        """Return the buffer that was not handed out last: a learner keeps the last one by reference."""
        self._turn = 1 - self._turn
        return self._observations[self._turn]

    def _start_streams(self, seed: int) -> None:
        """Give every environment its own random numbers; number i has the same whatever their count."""
        for i in range(self.n_envs):
            stream = np.random.SeedSequence(seed, spawn_key=(self.first_stream + i,))
            self.slots["random"][i] = stream.generate_state(1, np.uint64)[0] | np.uint64(1)

    def _chosen(
        self, rows: Sequence[int] | None, starts: Sequence[int] | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows and starts of a reset, -1 where they are drawn."""
        if rows is None or starts is None:
            nowhere = np.full(self.n_envs, -1, np.int64)
            return nowhere, nowhere
        chosen, begun = np.array(rows, np.int64), np.array(starts, np.int64)
        if chosen.shape != (self.n_envs,) or begun.shape != (self.n_envs,):
            raise ConfigError(f"{len(chosen)} rows and {len(begun)} starts given for {self.n_envs} environments.")
        if not ((chosen >= 0) & (chosen < len(self.last))).all():
            raise ConfigError(f"The data set has {len(self.last)} rows; row {int(chosen.max())} is not one of them.")
        low = self.first + BARS_NEEDED
        if not ((begun >= low) & (begun < self.last[chosen])).all():
            raise ConfigError(
                f"Starts from {int(begun.min())} to {int(begun.max())} were given; they must lie from {low}, after the "
                f"warm-up, to before the last bar {int(self.last[chosen].min())}."
            )
        return chosen, begun

    def _check_room(self) -> None:
        """Refuse a span that no episode fits into."""
        low = self.first + BARS_NEEDED
        shortest = int(self.last.min())
        if self.first < 0 or low + self.episode_bars > shortest:
            raise ConfigError(
                f"An episode of {self.episode_bars} bars after {BARS_NEEDED} bars of warm-up does not fit between bars "
                f"{self.first} and {shortest}. Use more bars, or lower episode_bars."
            )

    def _lay_out_rows(self) -> None:
        """Write where the bars of each row lie, and keep the quote of every 256th bar."""
        bars, features, market, crosses = self._data
        n_rows, n_bars = bars.shape
        self._quotes = new_records(n_rows * (n_bars // CHECKPOINT_BARS + 1), QUOTE).reshape(n_rows, -1)
        self._rows = new_records(n_rows, ROW)
        for i in range(n_rows):
            row, blank = self._rows[i], new_records(1, QUOTE)
            blank["atr"] = np.nan
            row.market, row.bars = address_of(market[i : i + 1]), address_of(bars[i])
            row.features, row.quotes = address_of(features[i]), address_of(self._quotes[i])
            row.crosses = 0 if crosses is None or market["cross_index"][i] < 0 else address_of(crosses[i])
            row.first, row.last = self.first, self.last[i]
            status = keep_quotes(market[i], row.bars, int(self.lengths[i]), row.quotes, blank[0])
            if status != Status.OK:
                raise self._failure(int(status))

    def _lay_out_accounts(self, limits: LimitSettings, is_always_open: bool) -> None:
        """Allocate slots, desks, accounts, books and quotes."""
        n, market = self.n_envs, self._data[2]
        n_currencies = 1 + int(max(market["base_currency"].max(), market["quote_currency"].max()))
        self._template = new_records(1, TEMPLATE)
        self._template["account"] = new_account(self.capital, limits, n_currencies=n_currencies, equity_step_ns=1 << 61)
        self._template["warmup_bars"], self._template["episode_bars"] = BARS_NEEDED, self.episode_bars
        self._template["n_rows"], self._template["rows"] = len(self._rows), address_of(self._rows)
        self.slots, self.actions, self._accounts, self._books, self._present = records_on_large_pages(
            (n, SLOT), (n, ACTION), (n, ACCOUNT), (n, BOOK), (2 * n, QUOTE)
        )
        for name, memory in (("accounts", self._accounts), ("books", self._books), ("quotes", self._present)):
            self._template[name] = address_of(memory)
        self._desks, self._lanes = new_records(n, DESK), new_records(n, LANE)
        self._pairs = new_records(1, PAIR)
        self._trades, self._rejects = np.empty(ROOM, TRADE).view(np.recarray), np.empty(ROOM, REJECT).view(np.recarray)
        self._intents = _seen(new_records(N_INTENTS + 1, INTENT))
        self._books["rules"] = rules_of(
            self.config, pip=float(market["pip"][0]), warmup_bars=BARS_NEEDED, is_always_open=is_always_open
        )
        self._lanes["step"], self._lanes["params"] = native_address(_action_pointer()), address_of(self.params)
        for i in range(n):
            self._lanes["state"][i] = address_of(self.actions[i : i + 1])
            self._desks["lanes"][i], self._desks["books"][i] = (
                address_of(self._lanes[i : i + 1]),
                address_of(self._books[i : i + 1]),
            )
            self._desks["quotes"][i] = address_of(self._present[2 * i : 2 * i + 2])
        for name, records in (("pairs", self._pairs), ("trades", self._trades), ("rejects", self._rejects)):
            self._desks[name] = address_of(records)
        self._desks["n_markets"] = self._desks["n_lanes"] = 1
        self._desks["trade_room"] = self._desks["reject_room"] = ROOM

    def _failure(self, status: int) -> TradeSentryError:
        """Return the error that a status means."""
        if status == Status.NO_CALENDAR:
            return DataError(
                "A bar of the data set lies outside its calendar. Check the source clock of the series.",
                code="no_calendar",
            )
        name = Status(status).name if status in list(Status) else f"STRATEGY {status - Status.STRATEGY}"
        return TradeSentryError(
            f"The environment stopped with {name}. A book cannot hold what the configuration asks for; lower it there.",
            code="environment_failed",
        )


def sb3_vec_env(env: SimulationEnv, *, action: Action = "discrete") -> Any:
    """Return the environment as a `VecEnv` of stable-baselines3.

    Args:
        env: The environment.
        action: discrete: five levels from -1 to 1. continuous: a number in [-1, 1].
    """
    from tradesentry.apps.drlfusion.envs.views import vec_env

    return vec_env(env, action=action)
