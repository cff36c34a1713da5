"""What a user of drlfusion may set."""
