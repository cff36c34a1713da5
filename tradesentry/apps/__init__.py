"""The strategy apps, one folder each; found by name through the strategy registry."""
