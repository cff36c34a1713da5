"""Bars and calendars: catalog, importers, sessions, news, instruments, synthetic markets."""
