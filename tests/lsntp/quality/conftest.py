"""Real fields in canonical form, and a judge that plays the ingest: history first, then frames."""

import hashlib
import zipfile
from dataclasses import dataclass

import eccodes
import numpy as np
import pytest
import xarray as xr

from lsntp.config import QualityConfig
from lsntp.grid import Grid
from lsntp.quality import History, assess
from lsntp.times import hours

FILES = {
    "uk": ("era5/era5_t2m_1h_uk_2019-03.grib", "2t"),
    "england": ("era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib", "2t"),
    "cornwall": ("era5/era5_oper_instant_1h_cornwall_2018-05.nc", "t2m"),
    "berlin": ("era5/era5_t2m_1h_berlin_2017-01_2017-08.nc", "t2m"),
    "italy": ("era5/era5_t2m_3h_italy_2022-05-01_2022-06-10.nc", "t2m"),
    "gulf": ("era5/era5_t2m_u10_v10_3h_gulf_2003.nc", "t2m"),
    "america": ("ncep/air.sig995.namerica.2013-01_2014-04.nc", "air"),
    "java": ("era5/cds_zip_payload_java_2026-01.zip", "t2m"),
    "tamar": ("era5/era5_point_1h_tamar_2014.nc", "t2m"),
}


@dataclass(frozen=True, eq=False)
class Fields:
    """``values`` (n, H, W) in kelvin at ``times`` on ``grid``; ``step_h`` hours apart."""

    values: np.ndarray
    times: np.ndarray
    grid: Grid
    step_h: float

    @property
    def per_day(self) -> int:
        return round(24 / self.step_h)

    def cut(self, first: int, last: int) -> "Fields":
        return Fields(self.values[first:last], self.times[first:last], self.grid, self.step_h)

    def at(self, index: int, values: np.ndarray) -> "Fields":
        """One frame of the time of ``index`` with other values."""
        values = np.asarray(values, np.float32)[None]
        return Fields(values, self.times[index : index + 1], self.grid, self.step_h)


def read(path, name: str, folder) -> Fields:
    if path.suffix == ".grib":
        return _read_grib(path)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as members:
            member = next(m for m in members.namelist() if "instant" in m)
            path = members.extract(member, folder)
    with xr.open_dataset(path) as opened:
        renamed = {"valid_time": "time", "lat": "latitude", "lon": "longitude"}
        opened = opened.rename({k: v for k, v in renamed.items() if k in opened.variables})
        field = opened[name].squeeze(drop=True)
        if "latitude" not in field.dims:
            field = field.expand_dims(latitude=[50.408], longitude=[-4.185])
        field = field.transpose("time", "latitude", "longitude").load()
        if float(field.max()) < 100:
            field = field + 273.15
        field = field.assign_coords(longitude=(field["longitude"] + 180) % 360 - 180)
        field = field.sortby("longitude").sortby("latitude", ascending=False)
        times = field["time"].to_numpy().astype("datetime64[ns]")
        grid = Grid(field["latitude"].to_numpy(), field["longitude"].to_numpy())
        step_h = float((times[1] - times[0]) / np.timedelta64(1, "h"))
        return Fields(field.to_numpy().astype(np.float32), times, grid, step_h)


def _read_grib(path) -> Fields:
    values, times = [], []
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            rows = eccodes.codes_get_array(message, "distinctLatitudes")
            columns = eccodes.codes_get_array(message, "distinctLongitudes")
            field = eccodes.codes_get_values(message).reshape(rows.size, columns.size)
            columns = (columns + 180) % 360 - 180
            values.append(field[:, np.argsort(columns)])
            date = str(eccodes.codes_get(message, "validityDate"))
            day = np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}", "ns")
            times.append(day + hours(eccodes.codes_get(message, "validityTime") / 100))
            eccodes.codes_release(message)
    grid = Grid(np.sort(rows)[::-1], np.sort(columns))
    return Fields(np.array(values, np.float32), np.array(times), grid, 1.0)


@pytest.fixture(scope="session")
def real(shared_data, tmp_path_factory):
    """``real(name)``: the true fields of a file, read once."""
    known: dict[str, Fields] = {}

    def of(name: str) -> Fields:
        if name not in known:
            path, variable = FILES[name]
            folder = tmp_path_factory.mktemp("unpacked")
            known[name] = read(shared_data / path, variable, folder)
        return known[name]

    return of


def frames_of(fields: Fields) -> xr.Dataset:
    digests = [
        list(hashlib.sha256(field.tobytes() + str(time).encode()).digest())
        for field, time in zip(fields.values, fields.times, strict=True)
    ]
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), fields.values),
            "status": ("time", np.full(len(digests), 2, np.int8)),
            "source_digest": (("time", "digest_byte"), np.array(digests, np.uint8)),
        },
        {
            "time": fields.times,
            "latitude": fields.grid.latitude,
            "longitude": fields.grid.longitude,
        },
    )


@pytest.fixture(scope="session")
def judge():
    """``judge(fields, stored=None, **limits)``: the reasons by time of rejected frames."""

    def of(fields: Fields, stored: Fields | None = None, *, vouched=None, onto=None, **limits):
        history = None
        if stored is not None:
            history = History(stored.grid, stored.times, stored.values, onto or (lambda f: f))
        assessment = assess(
            frames_of(fields),
            expected_grid=None,
            history=history,
            limits=QualityConfig(**limits),
            cadence=hours(fields.step_h),
            origin=np.datetime64("2000-01-01", "ns"),
            vouched=vouched,
        )
        return {rejection.time: rejection.reasons[0] for rejection in assessment.rejections}

    return of
