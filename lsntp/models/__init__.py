"""Forecasting models of equal rank: baselines, ridge regression and networks."""
