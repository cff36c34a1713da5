"""Plumbing without a trading word in it: kernels, configuration files, logs, notifications."""
