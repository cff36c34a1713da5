"""smedge: continuation of a higher-timeframe trend after a structure break, entered in the leg's retracement."""

from tradesentry.apps.smedge.strategy import SMEdgeConfig, SMEdgeStrategy

APP = SMEdgeStrategy

__all__ = ["APP", "SMEdgeConfig", "SMEdgeStrategy"]
