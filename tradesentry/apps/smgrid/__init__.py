"""smgrid: a grid of limits inside a zone, bounded by what it loses when every level is filled and stopped."""

from tradesentry.apps.smgrid.configs.smgrid_config import SMGridConfig
from tradesentry.apps.smgrid.strategy import SMGridStrategy

APP = SMGridStrategy

__all__ = ["APP", "SMGridConfig", "SMGridStrategy"]
