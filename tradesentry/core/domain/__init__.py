"""The nouns of the platform: records, orders, instruments, clock and errors."""
