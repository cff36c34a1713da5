"""What is stored with a linked account: the prices and costs of a paper account, what a real one must turn out to be.

Read by whoever opens the account, on whichever host; so it holds no secret and no path that another host lacks. Secrets
are in the environment (`tradesentry.settings`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tradesentry.core.utils.config_loader import load_config
from tradesentry.core.utils.config_model import FrozenModel

VENUE_PRICES = ("oanda",)
"""Prices of a paper account that come from a real venue, in real time."""


class PaperSettings(FrozenModel):
    """A paper account: its money, its costs, and where its prices come from."""

    capital: float = Field(10_000.0, gt=0, description="Start balance, account currency.")
    currency: str = Field("USD", min_length=3, max_length=4, description="ISO code of the account.")
    costs: str = Field("standard", description="Cost profile.")
    rates: dict[str, float] = Field({}, description="Fixed conversion rates, account currency per unit.")
    limits: str = Field("default", description="Limits of the account: default, prop or off.")
    prices: str = Field("synthetic", description="Source of the catalog, synthetic[:variant[:seed]], or oanda.")
    timeframe: str = Field("M15", description="Length of a bar.")
    symbols: tuple[str, ...] = Field((), description="Markets of the account.")
    from_: str | int | None = Field(None, description="First open of a replay, ISO date or ns UTC.")
    to: str | int | None = Field(None, description="Opens at or after it are left out.")
    trade_from: str | int | None = Field(
        None, description="Bars that close up to it are the past: shown to strategies, traded by nobody."
    )
    speed: float = Field(0.0, ge=0, le=1e6, description="0: as fast as it goes; else multiples of the bars' time.")
    catalog: Path | None = Field(None, description="Catalog folder.")
    news: Path | None = Field(None, description="News calendar file.")

    @property
    def is_replay(self) -> bool:
        """Whether the prices are known bars and not a venue's."""
        return self.prices not in VENUE_PRICES

    @property
    def is_paced(self) -> bool:
        """Whether known bars come in time with a clock, so that somebody may be watching."""
        return self.is_replay and self.speed > 0


class VenueSettings(FrozenModel):
    """A real account: what the venue must say of it at every connect, and what is traded there."""

    currency: str = Field(min_length=3, max_length=4, description="ISO code of the account.")
    is_hedging: bool = Field(True, description="Opposite trades on one instrument may be open at the same time.")
    environment: Literal["practice", "live"] = Field("practice", description="Which servers.")
    server_tz: str | None = Field(None, description="Time zone that the server writes its times in.")
    symbols: tuple[str, ...] = Field((), description="Markets of the account.")
    names: dict[str, str] = Field({}, description="The venue's name by symbol, where it is not the usual one.")
    costs: str = Field("standard", description="Cost profile for sizing; the venue charges what it charges.")
    rates: dict[str, float] = Field({}, description="Fixed conversion rates, account currency per unit.")
    limits: str = Field("default", description="Limits of the account: default, prop or off.")
    timeframe: str = Field("M15", description="Length of a bar.")
    news: Path | None = Field(None, description="News calendar file.")


def paper_settings(values: Mapping[str, Any]) -> PaperSettings:
    """Return the settings of a paper account.

    Args:
        values: As they are stored.

    Raises:
        ConfigError: A value that is unknown or out of bounds.
    """
    settings: PaperSettings = load_config(PaperSettings, file_values=values).value
    return settings


def venue_settings(values: Mapping[str, Any]) -> VenueSettings:
    """Return the settings of a real account. Arguments and errors as `paper_settings`."""
    settings: VenueSettings = load_config(VenueSettings, file_values=values).value
    return settings
