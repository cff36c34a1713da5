"""The commands of the shell, one module per noun, and what they share."""
