"""What every strategy app is made of: configuration, registry, indicators, checks."""
