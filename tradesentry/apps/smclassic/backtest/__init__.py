"""The declared studies of smclassic."""
