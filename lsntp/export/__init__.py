"""Forecasts in files that everybody opens: chosen from an archive, written as netCDF or CSV."""
