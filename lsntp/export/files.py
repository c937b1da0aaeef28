"""Writing a selection: netCDF or CSV, aside, verified, then renamed; CSV also to a stream."""

import hashlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import dask
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from dask.system import CPU_COUNT
from tqdm.dask import TqdmCallback

from lsntp.archives.forecast import MODEL_VERSION
from lsntp.archives.layout import CALENDAR
from lsntp.archives.staging import decoding, storage_errors
from lsntp.durable import written_aside
from lsntp.errors import ConfigError, StorageError
from lsntp.export.selection import Selection, fields_of
from lsntp.names import INIT_TIME, LATITUDE, LEAD_TIME, LONGITUDE, VALID_TIME
from lsntp.progress import track
from lsntp.times import Times, in_hours

NETCDF_SUFFIXES = (".nc", ".nc4", ".netcdf")
CSV_SUFFIXES = (".csv",)
BLOCK_VALUES = 2**20
"""Values that are held, and written, together."""
LEAD_TIME_H = "lead_time_h"
_CLOCK: dict[str, object] = {
    "units": "seconds since 1970-01-01",
    "calendar": CALENDAR,
    "dtype": "int64",
}


def write_file(selection: Selection, path: Path, *, force: bool = False) -> Path:
    """Write a selection as what the suffix of ``path`` says.

    A file is whole or absent, whenever the process stops; one that was there before stays until
    its successor is written and read back.

    Args:
        selection: what to write.
        path: ``.nc`` or ``.csv``.
        force: replace a file that is there.

    Returns:
        ``path``.

    Raises:
        ConfigError: if the suffix or folder is none, or there is such a file already.
        ArchiveError: if a forecast that was chosen is damaged.
        StorageError: if the storage refuses.
    """
    _check_path(path, force=force)
    with storage_errors(str(path)), written_aside(path) as aside:
        if path.suffix.lower() in CSV_SUFFIXES:
            _write_csv_file(selection, aside)
        else:
            _write_netcdf(selection.dataset, aside)
    return path


def check_path(path: Path, *, force: bool = False) -> None:
    """Refuse, before anything is read, where :func:`write_file` could not write.

    Raises:
        ConfigError: see :func:`write_file`.
    """
    _check_path(path, force=force)


def write_csv(selection: Selection, stream: TextIO) -> None:
    """Write tidy rows, one for each initial time, lead time and cell, with one line of names.

    ``init_time, lead_time_h, valid_time, latitude, longitude, t2m, model_version``; times in UTC,
    numbers with the digits that give back the stored float32. A field with further dimensions
    becomes a column for each of their values, such as ``t2m_quantile_0.1``.

    Raises:
        ArchiveError: if a forecast that was chosen is damaged.
        OSError: if the stream refuses.
    """
    dataset = selection.dataset
    for number, block in enumerate(track(_blocks(dataset), "export", total=_block_count(dataset))):
        with decoding("the forecasts to export"):
            loaded = block.load()
        rows = _rows(loaded)
        rows.to_csv(stream, index=False, header=number == 0, lineterminator="\n")


def _check_path(path: Path, *, force: bool) -> None:
    allowed = (*NETCDF_SUFFIXES, *CSV_SUFFIXES)
    if path.suffix.lower() not in allowed:
        raise ConfigError(f"Expected a file name that ends in {', '.join(allowed)}, found {path}.")
    if path.is_dir():
        raise ConfigError(f"Expected the name of a file to write, found the folder {path}.")
    if not path.parent.is_dir():
        raise ConfigError(f"Expected a folder {path.parent} to write to, found none; make it.")
    if path.exists() and not force:
        raise ConfigError(
            f"Expected no file at {path} yet, found one; give another name, or --force to replace "
            "it."
        )


def _write_csv_file(selection: Selection, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        written = _Digesting(file)
        write_csv(selection, written)  # type: ignore[arg-type]  # pandas only calls write
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256")
    _require(found.digest() == written.digest.digest(), path)


class _Digesting:
    """A text stream that knows what went through it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def write(self, text: str) -> int:
        self.digest.update(text.encode())
        return self._stream.write(text)


def _write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    encoding: dict[str, dict[str, object]] = {
        str(name): {"_FillValue": None} for name in dataset.variables
    }
    for name in fields_of(dataset):
        encoding[name] = {"zlib": True, "complevel": 4, "shuffle": True}
    for name in (INIT_TIME, VALID_TIME):
        encoding[name] |= _CLOCK
    with decoding("the forecasts to export"), _netcdf_errors(path):
        with _own_threads(), TqdmCallback(desc="export", mininterval=1.0):
            dataset.to_netcdf(path, engine="netcdf4", encoding=encoding)
        with xr.open_dataset(path, engine="netcdf4", chunks=None) as found:
            for block in track(_blocks(dataset), "verify", total=_block_count(dataset)):
                _require(found.sel({INIT_TIME: block[INIT_TIME]}).equals(block), path)


@contextmanager
def _own_threads() -> Iterator[None]:
    """Dask's threads, none of which is left at work.

    When one block fails, Dask's own threads go on with theirs, and xarray opens the file again to
    write them: it came back after it had been removed.
    """
    with ThreadPoolExecutor(CPU_COUNT) as pool, dask.config.set(pool=pool):
        yield


@contextmanager
def _netcdf_errors(path: Path) -> Iterator[None]:
    """The library tells a refusal of the storage as ``NetCDF: HDF error`` and no more."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("NetCDF:"):
            raise
        free = shutil.disk_usage(path.parent).free
        raise StorageError(
            f"Expected to write {path.parent}, found: {error} ({free / 2**20:.1f} MiB are free "
            "there); free space or raise the quota, then run the same export again. What was "
            "there before is unchanged."
        ) from error


def _require(is_equal: bool, path: Path) -> None:
    if not is_equal:
        raise StorageError(
            f"Expected in {path} what was written there, read something else; check that file "
            "system, then run the same export again."
        )


def _block_length(dataset: xr.Dataset) -> int:
    """Initial times in a block."""
    values = sum(dataset[name].size for name in fields_of(dataset))
    return max(1, BLOCK_VALUES * dataset.sizes[INIT_TIME] // values)


def _block_count(dataset: xr.Dataset) -> int:
    return -(-dataset.sizes[INIT_TIME] // _block_length(dataset))


def _blocks(dataset: xr.Dataset) -> Iterator[xr.Dataset]:
    length = _block_length(dataset)
    for first in range(0, dataset.sizes[INIT_TIME], length):
        yield dataset.isel({INIT_TIME: slice(first, first + length)})


def _rows(block: xr.Dataset) -> pd.DataFrame:
    """Tidy rows of some loaded forecasts."""
    columns: dict[str, xr.DataArray] = {}
    for name in fields_of(block):
        columns |= _columns(name, block[name])
    words = xr.Dataset(columns).drop_vars(VALID_TIME, errors="ignore")
    lead_times = [in_hours(lead) for lead in block[LEAD_TIME].to_numpy()]
    words = words.assign_coords(
        {INIT_TIME: _in_words(block[INIT_TIME].to_numpy()), LEAD_TIME: lead_times}
    )
    words = words.assign_coords(
        {VALID_TIME: (block[VALID_TIME].dims, _in_words(block[VALID_TIME].to_numpy()))}
    )
    words[MODEL_VERSION] = block[MODEL_VERSION].reset_coords(drop=True).drop_vars(INIT_TIME)
    frame = words.to_dataframe().reset_index().rename(columns={LEAD_TIME: LEAD_TIME_H})
    order = [INIT_TIME, LEAD_TIME_H, VALID_TIME, LATITUDE, LONGITUDE, *columns, MODEL_VERSION]
    return frame[order]


def _columns(name: str, field: xr.DataArray) -> dict[str, xr.DataArray]:
    """A field by name; one with further dimensions taken apart along them."""
    usual = {INIT_TIME, LEAD_TIME, LATITUDE, LONGITUDE}
    further = [dim for dim in field.dims if dim not in usual]
    if not further:
        return {name: field.drop_vars([key for key in field.coords if key not in usual])}
    dim = further[0]
    found: dict[str, xr.DataArray] = {}
    for value in field[dim].to_numpy():
        label = f"{value:g}" if isinstance(value, np.number) else str(value)
        found |= _columns(f"{name}_{label}", field.sel({dim: value}, drop=True))
    return found


def _in_words(times: Times) -> npt.NDArray[np.object_]:
    """``2024-03-04T17:00:00Z`` each."""
    return np.char.add(np.datetime_as_string(times, unit="s"), "Z").astype(object)
