"""The training environment: the engine's own bar, played for many accounts at once, and tasks with known answers."""
