"""Metres and shares; conversions by unit are also tested where fields are made."""

import numpy as np
import pytest

from lsntp.errors import SourceDataError
from lsntp.sources.native import NativeGrid
from lsntp.sources.surface import SurfaceField
from lsntp.static.ground import to_height, to_share


def field(values: list[list[float]], units: str) -> SurfaceField:
    grid = NativeGrid(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    return SurfaceField("orography", "x", units, np.array(values), grid, "a.nc")


def test_geopotential_of_one_gravity_is_one_metre() -> None:
    heights = to_height(field([[9.80665, 0.0], [-9.80665, np.nan]], "m**2 s**-2"))
    assert heights == pytest.approx(np.array([[1, 0], [-1, np.nan]]), nan_ok=True)


def test_packing_may_leave_shares_a_little_outside() -> None:
    shares = to_share(field([[1.0000002, -0.0001], [0.5, np.nan]], "(0 - 1)"))
    assert shares == pytest.approx(np.array([[1, 0], [0.5, np.nan]]), nan_ok=True)


def test_a_mask_of_minus_one_is_land_only_if_it_is_nothing_else() -> None:
    assert to_share(field([[-1, 0], [0, -1]], "")).tolist() == [[1, 0], [0, 1]]
    assert to_share(field([[0, 0], [0, 0]], "")).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(SourceDataError, match=r"within 0\.\.1"):
        to_share(field([[-1, -0.5], [0, 0]], ""))
