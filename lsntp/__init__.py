"""LS-NTP: near-surface temperature forecasting, from raw reanalysis to verified forecasts."""

__version__ = "0.1.0"
