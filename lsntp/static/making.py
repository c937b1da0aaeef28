"""The static fields of a domain: found, moved to its grid, stored once with where they are from."""

import hashlib
import logging
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

import lsntp
from lsntp.archives.layout import CONFIGURATION, CONVENTIONS, as_xarray_opens
from lsntp.archives.lease import writer_lease
from lsntp.archives.right import Lease
from lsntp.archives.staging import ROOT_KEY, storage_errors
from lsntp.config import Domain
from lsntp.errors import LsntpError, SourceDataError, StorageError
from lsntp.grid import Fields, Grid
from lsntp.names import LAND_FRACTION, LATITUDE, LONGITUDE, OROGRAPHY
from lsntp.places import Place, S3Path
from lsntp.regrid import conservative_weights
from lsntp.sources.decoding import open_surface
from lsntp.sources.surface import SurfaceField
from lsntp.static.ground import to_height, to_share
from lsntp.static.origins import Origin, open_origin
from lsntp.times import Instant, format_time, utc_now
from lsntp.workspace import Workspace

logger = logging.getLogger(__name__)

INPUTS = "lsntp_inputs"
"""Attribute: SHA-256 of everything the fields were made from."""

_CONVERSIONS = {OROGRAPHY: to_height, LAND_FRACTION: to_share}
_ATTRS = {
    OROGRAPHY: {
        "standard_name": "surface_altitude",
        "long_name": "height of the ground above mean sea level, mean over the cell",
        "units": "m",
    },
    LAND_FRACTION: {
        "standard_name": "land_area_fraction",
        "long_name": "share of land, mean over the cell",
        "units": "1",
    },
}
_AXES = {
    LATITUDE: {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    LONGITUDE: {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}


@dataclass(frozen=True)
class StaticReport:
    """What there is, and whether it had to be made.

    Attributes:
        path: the Zarr store.
        source: where the fields are from.
        missing_cells: cells without a value, by field.
        did_nothing: whether they were there already, made from the same.
    """

    path: Place
    source: str
    missing_cells: dict[str, int]
    did_nothing: bool


def make_static(domain: Domain, *, clock: Callable[[], Instant] = utc_now) -> StaticReport | None:
    """Store height of the ground (m) and share of land (0..1) on the domain's grid.

    Both are moved conservatively: a cell holds their mean over its area. Where the source has
    no value in a cell it touches, it is NaN. They are made once, and again only when the
    configuration, the grid or a file changed.

    Args:
        domain: its ``static`` section says where they are from.
        clock: gives the time that is recorded.

    Returns:
        None for a domain without static fields.

    Raises:
        DomainError: if the domain reaches outside the source's cells.
        SourceDataError: if a field is lacking, twice there, damaged or without any value here.
        SourceUnavailableError: if the source cannot be reached now.
        CredentialsError: if a key is missing or refused, or a licence is not accepted.
        ArchiveBusyError: if another process makes them now.
        StorageError: if the storage refuses a write; what was there before is unchanged.
    """
    if domain.static is None:
        return None
    workspace, grid = Workspace.of(domain), domain.target_grid
    origin = open_origin(domain.static, grid, workspace.work / "static", clock)
    inputs = hashlib.sha256(f"{origin.digest} {grid.digest}".encode()).hexdigest()
    with writer_lease(workspace.static) as lease:
        if isinstance(workspace.static, Path):
            _restore(workspace.static)
        stored = _stored(workspace.static)
        is_new = stored is None or stored.attrs.get(INPUTS) != inputs
        if stored is None or is_new:
            stored = _made(origin, grid).assign_attrs(
                {
                    "Conventions": CONVENTIONS,
                    "title": f"Static fields of the domain {domain.domain}",
                    "source": origin.description,
                    "history": f"{format_time(clock())} made by lsntp {lsntp.__version__}",
                    INPUTS: inputs,
                    CONFIGURATION: domain.to_yaml(),
                }
            )
            if isinstance(workspace.static, Path):
                _store(stored, workspace.static)
            else:
                _put(stored, workspace.static, lease)
        missing = {name: int(stored[name].isnull().sum()) for name in _CONVERSIONS}
    if is_new and any(missing.values()):
        logger.warning(
            "static fields of %s: no value in %s cells, which the source leaves out",
            *(domain.domain, " and ".join(f"{n} ({name})" for name, n in missing.items() if n)),
        )
    return StaticReport(workspace.static, stored.attrs["source"], missing, did_nothing=not is_new)


def _made(origin: Origin, grid: Grid) -> xr.Dataset:
    found: dict[str, list[SurfaceField]] = {name: [] for name in _CONVERSIONS}
    paths = origin.paths()
    for path in paths:
        for field in open_surface(path):
            found[field.kind].append(field)
    _check_found(found, paths)
    fields = {
        name: ((LATITUDE, LONGITUDE), _on_grid(name, found[name][0], grid), _ATTRS[name])
        for name in _CONVERSIONS
    }
    axes = {LATITUDE: grid.latitude, LONGITUDE: grid.longitude}
    return xr.Dataset(fields, {name: (name, axis, _AXES[name]) for name, axis in axes.items()})


def _check_found(found: dict[str, list[SurfaceField]], paths: Sequence[Path]) -> None:
    faults = {
        name: ", ".join(f"{field.name} of {field.label}" for field in fields) or "none"
        for name, fields in found.items()
        if len(fields) != 1
    }
    if faults:
        shown = "; ".join(f"for {name}: {fault}" for name, fault in faults.items())
        raise SourceDataError(
            "Expected one field of geopotential or height at the surface and one of land and sea "
            f"in {', '.join(map(str, paths))}, found {shown}; correct static.paths."
        )


def _on_grid(name: str, field: SurfaceField, grid: Grid) -> Fields:
    """A field in its final unit (H, W) on the cells of the domain."""
    window = field.grid.window(grid, field.label)
    values = _CONVERSIONS[name](field)[np.ix_(window.rows, window.columns)]
    (moved,) = conservative_weights(window.grid, grid).apply(values[None])
    if np.isnan(moved).all():
        raise SourceDataError(
            f"Expected values of {name} inside the domain ({grid}) in {field.label}, found none; "
            "use a file that has them there."
        )
    return np.asarray(moved)


def _stored(path: Place) -> xr.Dataset | None:
    """What is there; what cannot be read counts as nothing, and is made again."""
    try:
        with xr.open_zarr(as_xarray_opens(path), chunks=None) as dataset:
            dataset = dataset.load()
    except LsntpError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None
    return dataset if set(_CONVERSIONS) <= set(dataset.data_vars) else None


def _store(dataset: xr.Dataset, path: Path) -> None:
    """Write aside, look at it, and put it in place of what was there."""
    aside, before = _beside(path)
    with storage_errors(str(path)):
        shutil.rmtree(aside, ignore_errors=True)
        _write(dataset, aside)
        written = _stored(aside)
        if written is None or not written.identical(dataset):
            raise StorageError(
                f"Expected to read back what was written to {aside}, found something else; check "
                "that disk, then run again."
            )
        if path.exists():
            path.rename(before)
        aside.rename(path)
        shutil.rmtree(before, ignore_errors=True)


def _put(dataset: xr.Dataset, path: S3Path, lease: Lease) -> None:
    """Put the objects under the lease, the root metadata last.

    Where fields on another grid were there, a reader may be refused in the moment between.
    """
    objects: dict[str, Buffer] = {}
    _write(dataset, MemoryStore(objects))
    with storage_errors(str(path)):
        for key in sorted(objects, key=lambda key: (key == ROOT_KEY, key)):
            lease.replace(path / key, objects[key].to_bytes())
        written = _stored(path)
    if written is None or not written.identical(dataset):
        raise StorageError(
            f"Expected to read back what was written to {path}, found something else; run again."
        )


def _write(dataset: xr.Dataset, target: Path | Store) -> None:
    with warnings.catch_warnings():
        # Consolidated metadata are an extension that every reader of ours and xarray knows.
        warnings.simplefilter("ignore", ZarrUserWarning)
        dataset.to_zarr(target, zarr_format=3, consolidated=True)


def _restore(path: Path) -> None:
    """Undo a replacement that was cut short between its two renames."""
    _, before = _beside(path)
    with storage_errors(str(path)):
        if before.exists() and not path.exists():
            before.rename(path)
        shutil.rmtree(before, ignore_errors=True)


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.partial"), path.with_name(f"{path.name}.before")
