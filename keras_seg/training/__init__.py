"""Training: what a run writes and reads."""
