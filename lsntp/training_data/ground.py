"""What lies under a domain, as networks are told: its own static fields where it names any."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from lsntp.archives.layout import as_xarray_opens
from lsntp.config import Domain
from lsntp.errors import TrainingDataError
from lsntp.grid import COORDINATE_TOLERANCE_DEG, Fields
from lsntp.land import land_fraction
from lsntp.names import LAND_FRACTION, LATITUDE, LONGITUDE, OROGRAPHY
from lsntp.places import Place
from lsntp.workspace import Workspace

_METRES_IN_KM = 1000.0


@dataclass(frozen=True, eq=False)
class Ground:
    """What lies under a domain's grid.

    Attributes:
        land: share of land (H, W) float32, 0…1.
        height_km: above sea level (H, W) float32; None where nobody asked for it.
    """

    land: Fields
    height_km: Fields | None = None


def known_ground(domain: Domain, *, with_height: bool = False) -> Ground:
    """The share of land, and the height where asked for, on the domain's grid.

    They are those of the archive that ``lsntp static`` makes, where ``static`` is configured; else
    the land is that of the coastlines in :mod:`lsntp.land`, and there is no height.

    Raises:
        TrainingDataError: if a configured field is not made yet, or damaged, is on another grid
            or has cells without a value, or if a height is asked for and none is configured.
    """
    if domain.static is None:
        if with_height:
            raise TrainingDataError(
                f"Expected a source of the ground's height for {domain.domain}, as "
                "architecture.orography needs it, found static: null; name files, era5 or gfs "
                f"under static and run `lsntp static {domain.reference}`."
            )
        return Ground(np.asarray(land_fraction(domain.target_grid), np.float32))
    names = [LAND_FRACTION, OROGRAPHY] if with_height else [LAND_FRACTION]
    path = Workspace.of(domain).static
    without = "architecture.orography: false" if with_height else "static: null"
    remedy = f"run `lsntp static {domain.reference}`, or set {without}"
    try:
        with xr.open_zarr(as_xarray_opens(path), chunks=None) as stored:
            found = stored[names].load()
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise TrainingDataError(
            f"Expected the static fields of {domain.domain} in {path}, found none that can be read "
            f"({error}); {remedy}."
        ) from error
    land, *height = (_field(found[name], domain, path, remedy) for name in names)
    return Ground(land, height[0] / np.float32(_METRES_IN_KM) if height else None)


_CALLED = {LAND_FRACTION: "share of land", OROGRAPHY: "height"}


def _field(found: xr.DataArray, domain: Domain, path: Place, remedy: str) -> Fields:
    """The values of one, on the domain's grid and complete."""
    grid = domain.target_grid
    axes = {LATITUDE: grid.latitude, LONGITUDE: grid.longitude}
    if found.dims != tuple(axes) or not all(
        found[name].size == axis.size
        and np.allclose(found[name], axis, rtol=0, atol=COORDINATE_TOLERANCE_DEG)
        for name, axis in axes.items()
    ):
        shape = " x ".join(map(str, found.shape))
        raise TrainingDataError(
            f"Expected static fields on the domain's grid ({grid}) in {path}, found {shape} cells "
            f"of another; {remedy}."
        )
    field = np.asarray(found.values, np.float32)
    if missing := int((~np.isfinite(field)).sum()):
        raise TrainingDataError(
            f"Expected the {_CALLED[str(found.name)]} of every cell in {path}, found none in "
            f"{missing} of {field.size}; name a source that covers the domain under static and "
            f"{remedy}."
        )
    return field
