"""smclassic: a return to equilibrium from a fresh supply or demand zone at the edge of the dealing range."""

from tradesentry.apps.smclassic.configs.smclassic_config import SMClassicConfig
from tradesentry.apps.smclassic.strategy import SMClassicStrategy

APP = SMClassicStrategy

__all__ = ["APP", "SMClassicConfig", "SMClassicStrategy"]
