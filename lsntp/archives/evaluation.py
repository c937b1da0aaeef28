"""The evaluation archive."""

from typing import Final

_ERROR: Final = "of prediction minus truth over the cells of the frame"

FRAME_SUMS: Final[dict[str, tuple[str, str]]] = {
    "count": ("cells in the sums; 0 where not scored", "1"),
    "error_sum": (f"sum {_ERROR}", "K"),
    "absolute_error_sum": (f"sum of the absolute value {_ERROR}", "K"),
    "squared_error_sum": (f"sum of the square {_ERROR}", "K2"),
    "anomaly_product_sum": ("sum of forecast anomaly times truth anomaly", "K2"),
    "forecast_anomaly_square_sum": ("sum of the squared forecast anomaly", "K2"),
    "truth_anomaly_square_sum": ("sum of the squared truth anomaly", "K2"),
    "area_error_sum": (f"area-weighted sum {_ERROR}", "K"),
    "area_absolute_error_sum": (f"area-weighted sum of the absolute value {_ERROR}", "K"),
    "area_squared_error_sum": (f"area-weighted sum of the square {_ERROR}", "K2"),
    "area_anomaly_product_sum": (
        "area-weighted sum of forecast anomaly times truth anomaly",
        "K2",
    ),
    "area_forecast_anomaly_square_sum": (
        "area-weighted sum of the squared forecast anomaly",
        "K2",
    ),
    "area_truth_anomaly_square_sum": ("area-weighted sum of the squared truth anomaly", "K2"),
    "ssim_paper": ("SSIM of kelvin fields with data_range 2, 7x7 uniform window", "1"),
    "ssim_data_range": (
        "SSIM of fields minus the training minimum with data_range of the training period",
        "1",
    ),
    "psnr_paper": ("PSNR with data_range 255 K", "dB"),
    "psnr_data_range": ("PSNR with data_range of the training period", "dB"),
}
"""name -> (long name, unit) of each frame's sums; area weights have mean 1."""

CELL_SUMS: Final[dict[str, tuple[str, str]]] = {
    "map_error_sum": ("sum of prediction minus truth over the month's frames", "K"),
    "map_absolute_error_sum": ("sum of |prediction minus truth| over the month's frames", "K"),
    "map_squared_error_sum": ("sum of (prediction minus truth)^2 over the month's frames", "K2"),
}
"""name -> (long name, unit) of each cell's monthly sums."""
