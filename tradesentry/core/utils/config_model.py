"""The base of every configuration model: frozen, unknown keys refused, defaults checked."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A pydantic model that cannot be changed and knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
