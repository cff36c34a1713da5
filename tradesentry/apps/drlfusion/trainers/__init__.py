"""Train the four agents: one back-end per algorithm behind one port, judged on validation alone."""
