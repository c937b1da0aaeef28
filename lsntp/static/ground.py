"""How geopotential, heights and masks become metres and shares."""

import numpy as np

from lsntp.errors import SourceDataError
from lsntp.grid import Floats
from lsntp.sources.surface import SurfaceField

STANDARD_GRAVITY = 9.80665
"""m s-2: turns geopotential into geopotential height, as ECMWF and WMO define it."""
SEA_FLOOR_M = -500.0
"""No land lies lower (the shore of the Dead Sea: about -440 m)."""
SHARE_TOLERANCE = 1e-3
"""Packing leaves shares this far outside 0..1."""

_GEOPOTENTIAL_UNITS = frozenset({"m**2 s**-2", "m2 s-2", "m^2 s^-2", "m2/s2", "m^2/s^2"})
_HEIGHT_UNITS = frozenset({"m", "gpm", "metre", "metres", "meter", "meters"})


def to_height(field: SurfaceField) -> Floats:
    """Height of the ground, m (H, W), of a geopotential or a height.

    Negative heights are kept, unless they are those of a sea floor: then the sea is at zero.

    Raises:
        SourceDataError: if the units are of neither.
    """
    if field.units in _GEOPOTENTIAL_UNITS:
        height: Floats = field.values / STANDARD_GRAVITY
    elif field.units in _HEIGHT_UNITS:
        height = field.values
    else:
        raise _unusable(field, "geopotential in m2 s-2 or height in m", f"units {field.units!r}")
    return np.maximum(height, 0.0) if np.nanmin(height, initial=0.0) < SEA_FLOOR_M else height


def to_share(field: SurfaceField) -> Floats:
    """Share of land, 0..1 (H, W), of a fraction, a percentage, or a mask with -1 for land.

    Raises:
        SourceDataError: if the values are neither.
    """
    share: Floats = field.values / 100.0 if field.units == "%" else field.values
    low, high = float(np.nanmin(share, initial=0.0)), float(np.nanmax(share, initial=0.0))
    if high == 0.0 and np.isin(share[~np.isnan(share)], (-1.0, 0.0)).all():
        share, low, high = -share, 0.0, 1.0  # as NCEP/NCAR Reanalysis 1 has it
    if low < -SHARE_TOLERANCE or high > 1.0 + SHARE_TOLERANCE:
        raise _unusable(field, "shares of land within 0..1", f"{low:g}..{high:g}")
    return np.clip(share, 0.0, 1.0)


def _unusable(field: SurfaceField, expected: str, found: str) -> SourceDataError:
    return SourceDataError(
        f"Expected {expected} in {field.name} of {field.label}, found {found}; correct "
        "the file or static.paths."
    )
