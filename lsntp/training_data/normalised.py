"""What a training archive holds, written shard by shard with Dask."""

import json
import warnings
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
import zarr
from tqdm.dask import TqdmCallback
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.errors import ZarrUserWarning

from lsntp.archives import layout
from lsntp.config import Domain, Scaling
from lsntp.grid import Fields
from lsntp.names import LATITUDE, LONGITUDE, STATUS, T2M, TIME
from lsntp.times import Times
from lsntp.training_data.blocks import FieldArchive, usable_at
from lsntp.training_data.scaling import Scaler
from lsntp.training_data.splits import effective_periods
from lsntp.training_data.statistics import compute_statistics

SHARD_FRAMES = 720
SHARD_BYTES = 128 * 2**20
"""A shard is made and written as a whole: no larger, whatever the grid."""

X = "x"
CHANNEL = "channel"
CLIMATOLOGY = "climatology_coefficients"
HOUR_OF_DAY = "hour_of_day"
ANNUAL_TERM = "annual_term"


def write_normalised(
    domain: Domain,
    analysis: FieldArchive,
    times: Times,
    target: Path | Store,
    *,
    scaling: Scaling,
    digest: str,
) -> None:
    """Write the normalised fields at ``times`` to a new Zarr, shard by shard.

    It is not to be read before :func:`complete`.

    Two passes over the fields: statistics of the training period, then the scaled fields
    ``x(time, channel, latitude, longitude)`` (NaN where no usable field is) with the status
    of every time, statistics, climatology and the resolved configuration.

    Args:
        domain: the configuration.
        analysis: fields (H, W), K, by time.
        times: of the new archive (n,), regular.
        target: where nothing is yet, on disk; or a store in which anything may be.
        scaling: kind of normalisation.
        digest: of everything the content depends on, stored as an attribute.

    Raises:
        TrainingDataError: if the training period cannot give statistics.
    """
    period = effective_periods(domain)["train"]
    statistics = compute_statistics(analysis, period, domain.lead_times)
    chunk = layout.frames_per_chunk(domain.cadence)
    height, width = domain.target_grid.shape
    shard = _shard_frames(chunk, times.size, frame_bytes=4 * height * width)
    x = xr.apply_ufunc(
        partial(_normalised_block, analysis, Scaler(scaling, statistics)),
        xr.DataArray(times, dims=TIME).chunk({TIME: shard}),
        output_core_dims=[[CHANNEL, LATITUDE, LONGITUDE]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {CHANNEL: 1, LATITUDE: height, LONGITUDE: width}},
        output_dtypes=[np.float32],
    )
    climatology = statistics.climatology
    dataset = xr.Dataset(
        {
            X: x.assign_attrs(units="1", long_name=f"2 m air temperature, {scaling} scaled"),
            STATUS: (TIME, analysis.status_at(times), layout.status_attrs("status of this hour")),
            CLIMATOLOGY: (
                (HOUR_OF_DAY, ANNUAL_TERM, LATITUDE, LONGITUDE),
                climatology.coefficients,
                {
                    "units": "K",
                    "long_name": "climatology by hour of day: mean, cos and sin of 1, 2 ... cycles",
                    "comment": "of phase 2 pi times the fraction of the calendar year gone by",
                },
            ),
        },
        {
            TIME: (TIME, times, {"standard_name": "time"}),
            CHANNEL: (CHANNEL, np.array([T2M], object)),
            LATITUDE: (LATITUDE, domain.target_grid.latitude, _axis("latitude", "degrees_north")),
            LONGITUDE: (
                LONGITUDE,
                domain.target_grid.longitude,
                _axis("longitude", "degrees_east"),
            ),
            HOUR_OF_DAY: (HOUR_OF_DAY, climatology.hours_of_day, {"long_name": "UTC hour of day"}),
        },
        {
            "Conventions": layout.CONVENTIONS,
            "title": f"Training data of domain {domain.domain}",
            "source": domain.source.name,
            "synthetic": str(domain.is_synthetic).lower(),
            "digest": digest,
            "scaling": scaling,
            "training_period": str(period),
            "statistics": json.dumps(statistics.to_dict()),
            layout.CONFIGURATION: domain.to_yaml(),
        },
    )
    dataset[X].encoding = {
        "chunks": (chunk, 1, height, width),
        "shards": (shard, 1, height, width),
        "compressors": (
            BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
            Crc32cCodec(),
        ),
    }
    dataset[TIME].encoding = {"units": "seconds since 1970-01-01", "dtype": "int64"}
    with TqdmCallback(desc="training archive", mininterval=1.0):
        mode: Literal["w", "w-"] = "w-" if isinstance(target, Path) else "w"
        dataset.to_zarr(target, mode=mode, zarr_format=3, consolidated=False)


def complete(target: Path | Store) -> None:
    """Put the root metadata with its consolidated copy of the rest, by which readers go."""
    with warnings.catch_warnings():
        # Zarr v3 does not standardise it yet; the archives promise it and readers know it.
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        zarr.consolidate_metadata(target)


def _axis(standard_name: str, units: str) -> dict[str, str]:
    return {"standard_name": standard_name, "units": units}


def _normalised_block(analysis: FieldArchive, scaler: Scaler, times: Times) -> Fields:
    """(n, 1, H, W): one channel, NaN where no usable field is."""
    fields = analysis.read(times)
    fields[~usable_at(analysis, times)] = np.nan
    return scaler.scale(fields)[:, None]


def _shard_frames(chunk: int, frames: int, *, frame_bytes: int) -> int:
    """Frames in a shard: whole chunks, about 720 in at most 128 MiB, no more than there are."""
    wanted = min(SHARD_FRAMES, SHARD_BYTES // frame_bytes)
    return chunk * min(max(1, wanted // chunk), -(-frames // chunk))
