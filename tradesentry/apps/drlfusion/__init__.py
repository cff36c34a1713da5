"""drlfusion: four learned agents propose a position, and the app trades only what at least three support."""
