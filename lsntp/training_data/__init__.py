"""Training data: statistics, climatology, splits, the training archive and its windows."""
