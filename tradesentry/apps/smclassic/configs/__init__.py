"""What a user of smclassic may set."""
