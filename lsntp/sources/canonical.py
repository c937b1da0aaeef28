"""The one boundary where names, units and versions of any provider become ours."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lsntp.errors import SourceDataError
from lsntp.grid import Fields
from lsntp.names import EXPVER_STATUS, Status

Statuses = npt.NDArray[np.int8]

T2M_PARAM_ID = 167
T2M_NAMES = (
    *("t2m", "2t", "tas", "t2", "tmp_2maboveground", "2m_temperature", "temperature_2m"),
    *("var_2t", "t_2m", "air"),
)
"""netCDF spellings: ERA5, ECMWF, CMIP, WRF, wgrib2, ARCO-ERA5, reformatted GFS, NCAR, DWD and
NCEP, in order of certainty."""

MONTHLY_STREAMS = frozenset({"moda", "mnth", "mofm", "mdfa", "edmo", "edmm", "wamo", "msmm"})
ENSEMBLE_TYPES = frozenset({"em", "es", "pf"})
"""ECMWF's streams of monthly means, and types of ensemble means, spreads and members."""

_NEAR_MISSES = re.compile(
    r"apparent|feels|dew|wet.?bulb|spread|deviation|variance|anomal|maximum|minimum|soil|skin"
    r"|sea.surface|virtual|potential",
    re.IGNORECASE,
)
_STATISTICS = re.compile(r"maximum|minimum|deviation|variance|range|median", re.IGNORECASE)
_PRESSURE_UNITS = frozenset({"pa", "hpa", "mb", "mbar", "millibar", "millibars"})

_KELVIN = frozenset(
    {"k", "kelvin", "kelvins", "degk", "deg_k", "deg k", "degree_kelvin", "degrees_kelvin"}
)
_CELSIUS = frozenset(
    {"c", "°c", "celsius", "degc", "deg_c", "deg c", "degree_c", "degrees_c", "degree_celsius"}
    | {"degrees_celsius", "degree celsius", "degrees celsius", "degrees c", "centigrade"}
)
_FAHRENHEIT = frozenset(
    {"f", "°f", "fahrenheit", "degf", "deg_f", "deg f", "degree_f", "degrees_f"}
    | {"degree_fahrenheit", "degrees_fahrenheit", "degrees fahrenheit", "degrees f"}
)


class NoTemperatureError(SourceDataError):
    """A file is sound but holds other variables than 2 m temperature."""


def to_kelvin(values: npt.NDArray[Any], units: object, where: str) -> Fields:
    """``values`` in kelvin, float32; NaN stays NaN.

    Args:
        values: any shape, in ``units``.
        units: as the file has them; None where it has none.
        where: the file, for messages.

    Raises:
        SourceDataError: if ``units`` is missing or no unit of temperature.
    """
    unit = str(units).strip().lower() if units is not None else ""
    if unit in _KELVIN:
        return to_float32(values)
    if unit in _CELSIUS:
        return to_float32(values.astype(np.float64) + 273.15)
    if unit in _FAHRENHEIT:
        return to_float32((values.astype(np.float64) + 459.67) / 1.8)
    found = f"units {str(units)!r}" if units is not None else "no units attribute"
    raise SourceDataError(
        f"Expected temperature in K, degrees Celsius or degrees Fahrenheit in {where}, found "
        f"{found}; set the units attribute of the file to what it holds."
    )


def to_float32(values: npt.NDArray[Any]) -> Fields:
    """``values``, any shape, in single precision.

    What does not fit becomes infinite, for quality to see.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def status_of_expver(expver: object, where: str) -> Status:
    """The status of an ERA5 experiment version: ``"0001"``, ``b"0005"``, ``1``, ``5.0``.

    Raises:
        SourceDataError: if it is neither ERA5 (0001) nor preliminary ERA5T (0005).
    """
    text = expver.decode("ascii", "replace") if isinstance(expver, bytes) else str(expver)
    text = text.strip().removesuffix(".0").zfill(4)
    if text in EXPVER_STATUS:
        return EXPVER_STATUS[text]
    raise SourceDataError(
        f"Expected expver 0001 (ERA5) or 0005 (ERA5T) in {where}, found {expver!r}; only these "
        "are analyses that can be archived."
    )


def find_t2m(variables: Mapping[str, Mapping[str, Any]], where: str) -> str:
    """The variable that holds 2 m temperature, by its metadata.

    A GRIB parameter id or short name decides; then the usual names; then the CF
    standard name. Apparent, dew point, extreme, spread and anomaly fields never match.

    Args:
        variables: name to attributes of every data variable.
        where: the file, for messages.

    Raises:
        NoTemperatureError: if none matches; lists what was found.
        SourceDataError: if several match.
    """
    candidates = {name: attrs for name, attrs in variables.items() if _may_be_t2m(attrs)}
    tiers: Sequence[list[str]] = (
        [name for name, attrs in candidates.items() if _has_grib_identity(attrs)],
        *([name for name in candidates if name.lower() == known] for known in T2M_NAMES),
        [n for n, attrs in candidates.items() if attrs.get("standard_name") == "air_temperature"],
    )
    for names in tiers:
        if len(names) == 1:
            return names[0]
        if names:
            raise SourceDataError(
                f"Expected one variable of 2 m temperature in {where}, found {', '.join(names)}; "
                "keep one of them in the file."
            )
    found = ", ".join(_describe(name, attrs) for name, attrs in variables.items()) or "none"
    raise NoTemperatureError(
        f"Expected a variable of 2 m temperature ({', '.join(T2M_NAMES)}, GRIB parameter "
        f"{T2M_PARAM_ID} or standard_name air_temperature) in {where}, found: {found}; point "
        "source.paths at files that hold it."
    )


def is_upper_level(units: object, value: float) -> bool:
    """Whether a vertical coordinate puts a field far from the ground (pressure, or over 10 m)."""
    unit = str(units or "").strip().lower()
    return unit in _PRESSURE_UNITS or (unit in {"m", "metre", "meter"} and value > 10.0)


def is_long_mean(attrs: Mapping[str, Any]) -> bool:
    """Whether the metadata call a field a mean over time."""
    cell_methods = str(attrs.get("cell_methods", ""))
    long_name = str(attrs.get("long_name", ""))
    return bool(
        re.search(r"time:\s*mean", cell_methods)
        or str(attrs.get("statistic", "")).strip().lower().startswith("mean")
        or re.search(
            r"(mean|average) (daily|monthly)|(daily|monthly) (mean|average)", long_name, re.I
        )
    )


def _may_be_t2m(attrs: Mapping[str, Any]) -> bool:
    if "GRIB_paramId" in attrs and int(attrs["GRIB_paramId"]) != T2M_PARAM_ID:
        return False
    names = f"{attrs.get('long_name', '')} {attrs.get('standard_name', '')}"
    return not (
        _NEAR_MISSES.search(names) or _STATISTICS.search(str(attrs.get("cell_methods", "")))
    )


def _has_grib_identity(attrs: Mapping[str, Any]) -> bool:
    return int(attrs.get("GRIB_paramId", 0)) == T2M_PARAM_ID or attrs.get("GRIB_shortName") == "2t"


def _describe(name: str, attrs: Mapping[str, Any]) -> str:
    long_name = attrs.get("long_name")
    return f"{name} ({long_name})" if long_name else name
