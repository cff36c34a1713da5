"""The report page: what it says, what it draws, and the one file it is written to."""
