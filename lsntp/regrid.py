"""Move fields from one grid to another, block by block over time.

The conservative method is ours: on rectilinear grids the overlap of two cells is a
product of an overlap in the sine of latitude and one in longitude, so two small sparse
matrices hold all weights. Bilinear and nearest neighbour come from xarray.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import dask.array as da
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import xarray as xr

from lsntp.errors import DomainError
from lsntp.grid import COORDINATE_TOLERANCE_DEG, Floats, Grid
from lsntp.names import FIELD_DIMS, LATITUDE, LONGITUDE

Method = Literal["conservative", "bilinear", "nearest"]

SMALLEST_SHARE = 1e-9
"""An overlap below this share of a target cell is rounding, and must not carry a NaN."""
TURNS_DEG = (-360.0, 0.0, 360.0)


@dataclass(frozen=True, eq=False)
class ConservativeWeights:
    """Shares of source cells in target cells, one sparse matrix an axis.

    Attributes:
        rows: (target H, source H); every row sums to 1.
        columns: (target W, source W); every row sums to 1.
        source: the grid of the input.
        target: the grid of the output.
        digest: SHA-256 of both grids' digests.
    """

    rows: sp.csr_array
    columns: sp.csr_array
    source: Grid
    target: Grid
    digest: str

    def apply(self, frames: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Target frames (n, H', W') of source frames (n, H, W), any unit: ``rows X columns^T``.

        Sums are in float64, the result is float32.

        A NaN in any source cell that touches a target cell makes that target cell NaN.
        """
        result = np.empty((len(frames), *self.target.shape), np.float32)
        # One frame at a time stays in the processor's cache and needs no large temporaries.
        for frame, out in zip(frames, result, strict=True):
            out[...] = self.rows @ frame.astype(np.float64) @ self.columns.T
        return result


def conservative_weights(source: Grid, target: Grid) -> ConservativeWeights:
    """First-order conservative weights, normalised by the covered part of each target cell.

    Overlaps are exact on the sphere: sine of latitude times longitude, the latter
    periodic. A target cell that reaches past the source is the mean over its covered part,
    as CDO's ``remapcon`` does by default. Where target edges coincide with source edges,
    rounding of the coordinates aside, whole cells are taken: a crop keeps its values.

    Args:
        source: (H, W).
        target: (H', W'); every centre lies in a cell of the source.

    Raises:
        DomainError: if the centre of a target cell lies outside the source's cells.

    References:
        P. W. Jones (1999), First- and second-order conservative remapping schemes for grids
        in spherical coordinates, Mon. Wea. Rev. 127, 2204-2210, eq. 4.
    """
    _check_inside(target, source.latitude_edges, source.longitude_edges, "cells")
    south, north = source.latitude_edges[1:], source.latitude_edges[:-1]
    edges = _snapped(target.latitude_edges, source.latitude_edges)
    rows = _shares(_sine(south), _sine(north), _sine(edges[1:]), _sine(edges[:-1]))

    turned = [source.longitude_edges + turn for turn in TURNS_DEG]
    west = np.concatenate([edges[:-1] for edges in turned])
    east = np.concatenate([edges[1:] for edges in turned])
    edges = _snapped(target.longitude_edges, np.concatenate(turned))
    columns = _shares(west, east, edges[:-1], edges[1:])
    columns = columns.reshape(target.longitude.size, len(TURNS_DEG), -1).sum(axis=1)

    digest = hashlib.sha256(f"{source.digest} {target.digest}".encode()).hexdigest()
    return ConservativeWeights(
        sp.csr_array(rows), sp.csr_array(columns), source=source, target=target, digest=digest
    )


def regrid(field: xr.DataArray, target: Grid, *, method: Method = "conservative") -> xr.DataArray:
    """``field`` (time, latitude, longitude) on another grid, float32.

    Eager for numpy input; lazy and block by block over time for Dask input, so memory
    grows with the block and not with the period.

    Args:
        field: latitude north to south, longitude -180…180 ascending.
        target: the grid to move to.
        method: ``conservative`` (see :func:`conservative_weights`), ``bilinear`` between
            cell centres, or ``nearest`` centre.

    Raises:
        DomainError: if the target reaches outside the source.
    """
    field = field.transpose(*FIELD_DIMS)
    source = Grid(field[LATITUDE].to_numpy(), field[LONGITUDE].to_numpy())
    if field.chunks is not None:
        field = field.chunk({LATITUDE: -1, LONGITUDE: -1})
    if method == "conservative":
        return _conservative(field, conservative_weights(source, target))
    return _interpolated(field, source, target, method)


def _conservative(field: xr.DataArray, weights: ConservativeWeights) -> xr.DataArray:
    target = weights.target
    if field.chunks is None:
        values = weights.apply(field.to_numpy())
    else:
        chunks = (field.data.chunks[0], *target.shape)
        values = da.map_blocks(
            weights.apply, field.data, chunks=chunks, meta=np.empty((0, 0, 0), np.float32)
        )
    other = {LATITUDE: target.latitude, LONGITUDE: target.longitude}
    kept = {
        name: coordinate
        for name, coordinate in field.coords.items()
        if not {LATITUDE, LONGITUDE} & set(coordinate.dims)
    }
    return xr.DataArray(values, {**kept, **other}, FIELD_DIMS, field.name, field.attrs)


def _interpolated(
    field: xr.DataArray, source: Grid, target: Grid, method: Literal["bilinear", "nearest"]
) -> xr.DataArray:
    """Bilinear or nearest by xarray, across the date line where the source closes the circle."""
    if source.is_global_in_longitude:
        west, east = field[..., -1:], field[..., :1]
        field = xr.concat(
            [
                west.assign_coords({LONGITUDE: west[LONGITUDE] - 360.0}),
                field,
                east.assign_coords({LONGITUDE: east[LONGITUDE] + 360.0}),
            ],
            dim=LONGITUDE,
        )
    places = {LATITUDE: target.latitude, LONGITUDE: target.longitude}
    if method == "nearest":
        _check_inside(target, source.latitude_edges, source.longitude_edges, "cells")
        moved = field.sel(places, method="nearest").assign_coords(places)
    else:
        _check_inside(target, source.latitude, field[LONGITUDE].to_numpy(), "cell centres")
        # Rounded coordinates may lie a hair outside the outermost centres.
        inside = {name: places[name].clip(*_span(field[name])) for name in places}
        moved = field.interp(inside, method="linear").assign_coords(places)
    return moved.astype(np.float32)


def _span(coordinate: xr.DataArray) -> tuple[float, float]:
    return float(coordinate.min()), float(coordinate.max())


def _sine(latitude: Floats) -> Floats:
    sine: Floats = np.sin(np.radians(latitude))
    return sine


def _snapped(edges: Floats, source_edges: Floats) -> Floats:
    """``edges`` moved onto the source's where all of them coincide but for rounding."""
    nearest = np.abs(edges[:, None] - source_edges[None, :]).argmin(axis=1)
    snapped: Floats = source_edges[nearest]
    close = np.abs(edges - snapped) <= COORDINATE_TOLERANCE_DEG
    return snapped if close.all() else edges


def _shares(lower: Floats, upper: Floats, target_lower: Floats, target_upper: Floats) -> Floats:
    """Share of each source interval in the covered part of each target interval."""
    overlap = np.minimum(upper, target_upper[:, None]) - np.maximum(lower, target_lower[:, None])
    overlap[overlap < SMALLEST_SHARE * (target_upper - target_lower)[:, None]] = 0.0
    shares: Floats = overlap / overlap.sum(axis=1, keepdims=True)
    return shares


def _check_inside(target: Grid, latitude: Floats, longitude: Floats, what: str) -> None:
    """Refuse a target whose centres leave the span of the source's ``what``."""
    slack = COORDINATE_TOLERANCE_DEG
    north, south = latitude[0] + slack, latitude[-1] - slack
    west, east = longitude[0] - slack, longitude[-1] + slack
    turned = target.longitude[:, None] + np.array(TURNS_DEG)
    outside_rows = (target.latitude > north) | (target.latitude < south)
    outside_columns = ~((turned >= west) & (turned <= east)).any(axis=1)
    if outside_rows.any() or outside_columns.any():
        raise DomainError(
            f"Expected every target cell centre inside the source's {what}, "
            f"{latitude[0]:g}..{latitude[-1]:g} N, {longitude[0]:g}..{longitude[-1]:g} E; found a "
            f"target of {target}. Choose a smaller box, or a source that covers it."
        )
