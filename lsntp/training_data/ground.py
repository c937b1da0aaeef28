"""What lies under a domain, as networks are told: its own static fields where it names any."""

import numpy as np
import xarray as xr

from lsntp.archives.layout import as_xarray_opens
from lsntp.config import Domain
from lsntp.errors import TrainingDataError
from lsntp.grid import COORDINATE_TOLERANCE_DEG, Fields
from lsntp.land import land_fraction
from lsntp.names import LAND_FRACTION, LATITUDE, LONGITUDE
from lsntp.workspace import Workspace


def known_land(domain: Domain) -> Fields:
    """The share of land (H, W) float32, 0…1, on the domain's grid.

    That of the archive that ``lsntp static`` makes, where ``static`` is configured; else that of
    the coastlines in :mod:`lsntp.land`.

    Raises:
        TrainingDataError: if the configured field is not made yet, or damaged, is on another grid
            or has cells without a value.
    """
    if domain.static is None:
        return np.asarray(land_fraction(domain.target_grid), np.float32)
    path = Workspace.of(domain).static
    remedy = f"run `lsntp static {domain.domain}`, or set static: null"
    try:
        with xr.open_zarr(as_xarray_opens(path), chunks=None) as stored:
            found = stored[[LAND_FRACTION]].load()
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise TrainingDataError(
            f"Expected the static fields of {domain.domain} in {path}, found none that can be read "
            f"({error}); {remedy}."
        ) from error
    grid = domain.target_grid
    axes = {LATITUDE: grid.latitude, LONGITUDE: grid.longitude}
    if found[LAND_FRACTION].dims != tuple(axes) or not all(
        found[name].size == axis.size
        and np.allclose(found[name], axis, rtol=0, atol=COORDINATE_TOLERANCE_DEG)
        for name, axis in axes.items()
    ):
        shape = " x ".join(map(str, found[LAND_FRACTION].shape))
        raise TrainingDataError(
            f"Expected static fields on the domain's grid ({grid}) in {path}, found {shape} cells "
            f"of another; {remedy}."
        )
    land = np.asarray(found[LAND_FRACTION].values, np.float32)
    if missing := int((~np.isfinite(land)).sum()):
        raise TrainingDataError(
            f"Expected the share of land of every cell in {path}, found none in {missing} of "
            f"{land.size}; give files that cover the domain under static.paths and {remedy}."
        )
    return land
