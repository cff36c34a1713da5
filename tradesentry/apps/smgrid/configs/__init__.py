"""What a user of smgrid may set."""
