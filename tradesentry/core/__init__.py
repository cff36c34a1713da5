"""The trading core: domain, utils, market, execution and strategy, in rising order of knowledge."""
