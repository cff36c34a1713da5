"""TradeSentry: one strategy decision for back-test, paper and live trading of FX markets."""

__version__ = "0.1.0"
