"""Training: fitting networks and baselines, and the immutable versions that come of it."""
