"""The four learned agents: how each is parameterized, and how its network becomes arrays of our own kernel."""
