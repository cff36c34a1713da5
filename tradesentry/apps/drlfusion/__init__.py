"""drlfusion: four learned agents propose a position, and the app trades only what at least three support."""

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.strategy import DrlFusionStrategy

APP = DrlFusionStrategy

__all__ = ["APP", "DrlFusionConfig", "DrlFusionStrategy"]
