"""Every real file beside the checkout: ingested on a fitting domain, or refused for its reason.

The table knows every file; a file that is added there must be added here. Expected numbers come
from the table in the data's README (count, first and last hour, coldest and hottest value) and,
for one cell of one hour, from ecCodes or the netCDF library itself. One number differs: the README
gives 323.23 K as the hottest of the Gulf in 2005, the netCDF library finds 323.2207 K in that file.
"""

import bz2
import datetime as dt
import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path

import eccodes
import netCDF4
import numpy as np
import pytest
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.errors import SourceDataError
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.sources import open_source
from lsntp.times import Period
from lsntp.workspace import Workspace

EVER = Period.parse("1900-01-01", "2100-01-01")
Box = tuple[float, float, float, float, float]
"""North, south, west, east and spacing, in degrees."""

JAVA: Box = (-6.5, -8.5, 109.5, 111.5, 0.25)
SOUTH_AMERICA: Box = (15, -60, -90, -30, 0.25)
CORNWALL: Box = (50.75, 49.75, -6, -4.5, 0.25)
BERLIN: Box = (52.6, 52.35, 13.1, 13.6, 0.25)
ENGLAND: Box = (52, 51, -1, 0, 0.25)
BRITISH_ISLES: Box = (58, 50, -10, 2, 0.25)
ITALY: Box = (46.9, 36.4, 6.57, 18.32, 0.25)
CENTRAL_ITALY: Box = (44, 43, 12, 13, 0.25)
ATLANTIC: Box = (70, 30, -30, 10, 0.25)  # across Greenwich
GULF: Box = (28.5, 24, 47, 55.25, 0.75)
GLOBE: Box = (90, -90, -180, 179, 1)
NORTH_AMERICA: Box = (75, 15, -160, -30, 2.5)
TAMAR: Box = (50.75, 50, -4.5, -4, 0.25)
QUEBEC: Box = (49, 48, -73, -71, 0.25)
EUROPE: Box = (60, 40, -10, 10, 2.5)


@dataclass(frozen=True)
class Ingested:
    """A file that fills its domain, which covers all of the file.

    Attributes:
        box: the cells of the file.
        cadence_h: the step of the domain, hours.
        count: hours that must be there.
        first: the first of them, which is the start of the domain.
        last: the last of them.
        coldest: of all values of the file, K, to two decimals.
        hottest: likewise.
        place: latitude and longitude of a cell that is compared with the file itself.
        hour: when.
        preliminary: how many of the hours are preliminary.
    """

    box: Box
    cadence_h: int
    count: int
    first: str
    last: str
    coldest: float
    hottest: float
    place: tuple[float, float]
    hour: str
    preliminary: int = 0


@dataclass(frozen=True)
class Refused:
    """A file that must not reach the archive.

    Attributes:
        box: a domain at its place, so that nothing but the reason stands against it.
        cadence_h: the step of the domain, hours.
        start: of the domain.
        words: what the message must say beside the file's name.
    """

    box: Box
    cadence_h: int
    start: str
    words: tuple[str, ...]


def refused(box: Box, start: str, *words: str, cadence_h: int = 1) -> Refused:
    return Refused(box, cadence_h, start, words)


def tamar(year: int) -> Refused:
    return refused(TAMAR, f"{year}-01-01", "a single place", "use files of whole fields")


def gulf(year: int, count: int, coldest: float, hottest: float) -> Ingested:
    return Ingested(
        *(GULF, 3, count, f"{year}-01-01T00", f"{year}-12-31T21", coldest, hottest),
        *((25.5, 51.5), f"{year}-07-01T12"),
    )


def no_temperature(found: str, start: str = "2020-01-01") -> Refused:
    return refused(EUROPE, start, "of 2 m temperature", f"found: {found}", "files that hold it")


def inventory(start: str) -> Refused:
    return refused(GLOBE, start, "text inventory (.idx)", "the GRIB file it describes", cadence_h=6)


def no_data(found: str, start: str = "2020-01-01") -> Refused:
    return refused(EUROPE, start, "Expected GRIB, netCDF, a ZIP of them or Zarr", found)


TABLE: dict[str, Ingested | Refused] = {
    # ERA5, netCDF-4 of both layouts, netCDF-3, GRIB 1 and the ZIP of a delivery.
    "era5/cds_zip_payload_java_2026-01.zip": Ingested(
        *(JAVA, 6, 124, "2026-01-01T00", "2026-01-31T18", 292.61, 306.11),
        *((-7.5, 110.25), "2026-01-15T06"),
    ),
    "era5/era5_5fields_samerica_2024-02-03T17.grib": Ingested(
        *(SOUTH_AMERICA, 1, 1, "2024-02-03T17", "2024-02-03T17", 273.69, 317.99),
        *((-23.5, -46.5), "2024-02-03T17"),
    ),
    "era5/era5_monthly_expver_dim_italy_1940-2023.nc": refused(
        *(CENTRAL_ITALY, "1940-01-01", "found monthly means (at least 28 days apart)"),
        "use the hourly or 6-hourly product",
    ),
    "era5/era5_oper_instant_1h_cornwall_2018-05.nc": Ingested(
        *(CORNWALL, 1, 744, "2018-05-01T00", "2018-05-31T23", 275.54, 295.31),
        *((50.25, -5.25), "2018-05-07T13"),
    ),
    "era5/era5_point_1h_tamar_2014.nc": tamar(2014),
    "era5/era5_point_1h_tamar_2015.nc": tamar(2015),
    "era5/era5_point_1h_tamar_2016.nc": tamar(2016),
    "era5/era5_point_1h_tamar_2017.nc": tamar(2017),
    "era5/era5_t2m_1h_berlin_2017-01_2017-08.nc": Ingested(
        *(BERLIN, 1, 5832, "2017-01-01T00", "2017-08-31T23", 263.50, 305.64),
        *((52.35, 13.35), "2017-06-29T15"),
    ),
    "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib": Ingested(
        *(ENGLAND, 1, 2160, "2025-01-01T00", "2025-03-31T23", 266.17, 292.19),
        *((51.5, -0.25), "2025-03-01T00"),
        preliminary=744,
    ),
    "era5/era5_t2m_1h_uk_2019-03.grib": Ingested(
        *(BRITISH_ISLES, 1, 744, "2019-03-01T00", "2019-03-31T23", 265.68, 291.56),
        *((55.75, -4.25), "2019-03-12T18"),
    ),
    "era5/era5_t2m_3h_italy_2022-05-01_2022-06-10.nc": Ingested(
        *(ITALY, 3, 328, "2022-05-01T00", "2022-06-10T21", 268.07, 314.57),
        *((41.9, 12.57), "2022-05-20T15"),
    ),
    "era5/era5_t2m_natlantic_2023-01-01T12.nc": Ingested(
        *(ATLANTIC, 1, 1, "2023-01-01T12", "2023-01-01T12", 230.49, 297.12),
        *((48.75, 2.25), "2023-01-01T12"),
    ),
    "era5/era5_t2m_u10_v10_3h_gulf_2003.nc": gulf(2003, 2920, 270.69, 322.22),
    "era5/era5_t2m_u10_v10_3h_gulf_2004.nc": gulf(2004, 2928, 269.37, 322.64),
    "era5/era5_t2m_u10_v10_3h_gulf_2005.nc": gulf(2005, 2920, 269.67, 323.22),
    "era5/era5_tas_pr_1h_point_lacstjean_2014-2018.nc": refused(
        *(QUEBEC, "2014-05-19", "a point series tas (time: 35737)", "use files of whole fields")
    ),
    # NCEP and GFS. Longitudes 0..360 throughout.
    "gfs/gefs_0p50_2021041600_spr_f006_TMP_2m.grib2": refused(
        *(EUROPE, "2021-04-16", "found only 1 of an ensemble statistic such as mean or spread"),
        "use files of analyses",
        cadence_h=6,
    ),
    "gfs/gfs.t12z.pgrbf120.2p5deg.grib2": refused(
        *(EUROPE, "2011-01-10", "found only 1 of a forecast (step 120)"),
        "use files of analyses (step 0)",
        cadence_h=6,
    ),
    "gfs/gfs_1p00_2026061800_anl_TMP_2m.grib2": Ingested(
        *(GLOBE, 6, 1, "2026-06-18T00", "2026-06-18T00", 206.76, 315.56),
        *((52, -1), "2026-06-18T00"),
    ),
    "gfs/gfs_20210509T06_f000_APTMP.grib": no_temperature(
        "aptmp (Apparent temperature, heightAboveGround 2)", "2021-05-09"
    ),
    "gfs/idx_20231104_gfs.t00z.pgrb2.0p25.f000.idx": inventory("2023-11-04"),
    "gfs/idx_20231104_gfs.t00z.pgrb2.0p25.f021.idx": inventory("2023-11-04"),
    "gfs/idx_20250801_gfs.t00z.pgrb2.0p25.f007.idx": inventory("2025-08-01"),
    "ncep/air.sig995.2012.global_1day.nc": refused(
        *(EUROPE, "2012-01-01", "Expected coordinates of latitude and longitude"),
        *("found none for air with dimensions x: 73, y: 144", "add them to the file"),
        cadence_h=6,
    ),
    "ncep/air.sig995.namerica.2013-01_2014-04.nc": Ingested(
        *(NORTH_AMERICA, 6, 1940, "2013-01-01T00", "2014-04-30T18", 221.00, 315.79),
        *((42.5, -87.5), "2014-01-06T12"),
    ),
    "other/ecmwf_open_0p25_2025011518_f024_2t_msl.grib2": refused(
        *(EUROPE, "2025-01-15T18", "found only 1 of a forecast (step 24)"),
        "use files of analyses (step 0)",
        cadence_h=6,
    ),
    # Static fields are no temperature, and maps and networks no fields.
    "static/era5_landmask_0.25.nc": no_temperature("land"),
    "static/etopo20.nc": no_temperature("z"),
    "static/gfs_landmask_0p25.grib1": no_temperature("lsm (Land-sea mask, surface 0)"),
    "static/ncep_gauss_lsmask.19294.nc": no_temperature("lsmask (Surface land/sea mask)"),
    "static/ne_110m_coastline.json": no_data("text that begins with '{'"),
    "static/ne_110m_land.json": no_data("text that begins with '{'"),
    "official_lsntp/README.md": no_data('text that begins with "# Oracle vectors'),
    "official_lsntp/checkpoint_era5_style.pth": refused(
        EUROPE, "2020-01-01", "Expected a ZIP of at most 100 members", "found 250 members"
    ),
    "official_lsntp/checkpoint_ncep_style.pth": refused(
        *(EUROPE, "2020-01-01", "Expected a member with analyses of 2 m temperature"),
    ),
    "official_lsntp/stride1.safetensors": no_data("bytes that begin with"),
    "official_lsntp/stride2.safetensors": no_data("bytes that begin with"),
}


def make_domain(root: Path, source: Path | str, box: Box, cadence_h: int, start: str) -> Domain:
    north, south, west, east, spacing = box
    days = np.datetime64(start, "D") + np.arange(1, 5)
    blocks = zip(("train", "validation", "test"), days, days[1:], strict=False)
    return Domain.model_validate(
        {
            "domain": "real",
            "source": {"name": "files", "paths": [str(source)]},
            "grid": {
                "kind": "regular",
                **{"north": north, "south": south, "west": west, "east": east},
                "spacing": spacing,
            },
            "cadence_h": cadence_h,
            "archive": {"start": start},
            "split": {name: {"start": str(a), "end": str(b)} for name, a, b in blocks},
            "root": str(root),
        }
    )


def value_in_file(path: Path, place: tuple[float, float], hour: str) -> float:
    """The value nearest to a place, by the decoder's own library and none of ours."""
    moment = dt.datetime.fromisoformat(hour)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content = archive.read("data_stream-oper_stepType-instant.nc")
        with netCDF4.Dataset("memory", memory=content) as dataset:
            return value_in_netcdf(dataset, place, moment)
    if path.suffix == ".nc":
        with netCDF4.Dataset(path) as dataset:
            return value_in_netcdf(dataset, place, moment)
    return value_in_grib(path, place, moment)


def value_in_netcdf(
    dataset: netCDF4.Dataset, place: tuple[float, float], moment: dt.datetime
) -> float:
    def of(*names: str) -> netCDF4.Variable:
        return next(dataset[name] for name in names if name in dataset.variables)

    time = of("valid_time", "time")
    times = netCDF4.num2date(
        time[:], time.units, only_use_cftime_datetimes=False, only_use_python_datetimes=True
    )
    north = np.abs(of("latitude", "lat")[:] - place[0])
    east = np.abs((of("longitude", "lon")[:] - place[1] + 180) % 360 - 180)
    assert max(north.min(), east.min()) < 1e-3
    index = times.tolist().index(moment)
    return float(of("t2m", "air")[index, int(north.argmin()), int(east.argmin())])


def value_in_grib(path: Path, place: tuple[float, float], moment: dt.datetime) -> float:
    wanted = ("2t", int(f"{moment:%Y%m%d}"), int(f"{moment:%H%M}"))
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            keys = ("shortName", "dataDate", "dataTime")
            try:
                if tuple(eccodes.codes_get(message, key) for key in keys) == wanted:
                    nearest = eccodes.codes_grib_find_nearest(message, place[0], place[1] % 360)[0]
                    assert nearest.distance < 0.2  # km
                    return float(nearest.value)
            finally:
                eccodes.codes_release(message)
    raise AssertionError(f"no message {wanted} in {path}")


def check_ingested(domain: Domain, path: Path, expected: Ingested) -> None:
    report = ingest(domain)
    assert (report.expected, report.written) == (expected.count, expected.count)
    assert (report.absent, report.quarantined, report.conflicts) == (0, 0, 0)

    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    first, last = np.array([expected.first, expected.last], "datetime64[ns]")
    assert (archive.times[0], archive.times[-1], archive.times.size) == (
        first,
        last,
        report.written,
    )
    statuses = archive.status.tolist()
    assert statuses.count(Status.PRELIMINARY) == expected.preliminary
    assert statuses.count(Status.FINAL) == expected.count - expected.preliminary
    assert statuses[statuses.count(Status.FINAL) :] == [Status.PRELIMINARY] * expected.preliminary

    fields = archive.read(archive.times)
    extremes = [float(fields.min()), float(fields.max())]
    np.testing.assert_allclose(extremes, [expected.coldest, expected.hottest], atol=0.006)
    hour = np.flatnonzero(archive.times == np.datetime64(expected.hour))
    row, column = domain.target_grid.nearest_cell(*expected.place)
    found = float(fields[hour[0], row, column])
    assert found == pytest.approx(value_in_file(path, expected.place, expected.hour), abs=1e-3)


def check_refused(domain: Domain, path: Path, expected: Refused) -> None:
    with pytest.raises(SourceDataError) as refusal:
        ingest(domain)
    message = str(refusal.value)
    assert [words for words in (str(path), *expected.words) if words not in message] == [], message
    assert not Path(domain.root).exists()


def test_the_table_knows_every_file(shared_data: Path) -> None:
    folders = [folder for folder in shared_data.iterdir() if folder.is_dir()]
    found = {f"{folder.name}/{p.relative_to(folder)}" for folder in folders for p in files(folder)}
    assert found == TABLE.keys()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


ALIKE = {f"era5/era5_t2m_u10_v10_3h_gulf_{year}.nc" for year in (2003, 2004)}
"""Files like another one of the table in all but the year."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ALIKE else []) for name in TABLE],
)
def test_a_real_file_is_ingested_or_refused_for_its_reason(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    path, expected, root = shared_data / name, TABLE[name], tmp_path / "root"
    match expected:
        case Ingested():
            domain = make_domain(root, path, expected.box, expected.cadence_h, expected.first)
            check_ingested(domain, path, expected)
        case Refused():
            domain = make_domain(root, path, expected.box, expected.cadence_h, expected.start)
            check_refused(domain, path, expected)


# --- the same files, mishandled on their way -----------------------------------------------------

SAMPLES = {
    "GRIB": "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib",
    "netCDF-3": "era5/era5_t2m_natlantic_2023-01-01T12.nc",
    "netCDF-4": "era5/era5_oper_instant_1h_cornwall_2018-05.nc",
    "ZIP": "era5/cds_zip_payload_java_2026-01.zip",
}
"""One file of each format."""

DAY_OF_MESSAGES = 24 * 158
"""The GRIB sample holds 2160 messages of 158 bytes each; its first day is enough here."""

REFUSED_WHEN = {
    "empty": (lambda content: b"", "an empty file"),
    "cut to 3 bytes": (lambda content: content[:3], "only 3 bytes"),
    "cut to 100 bytes": (lambda content: content[:100], "fetch it again"),
    "cut in the middle": (lambda content: content[: len(content) // 2 + 1], "fetch it again"),
    "4 bytes short": (lambda content: content[:-4], "fetch it again"),
    "packed with gzip": (gzip.compress, r"compressed with gzip; unpack it first \(gunzip\)"),
    "packed with bzip2": (bz2.compress, r"compressed with bzip2; unpack it first \(bunzip2\)"),
    "an error page": (lambda content: b"<html>503 GRIB service busy</html>", "an HTML page"),
}


def sample_content(shared_data: Path, kind: str) -> bytes:
    content = (shared_data / SAMPLES[kind]).read_bytes()
    return content[:DAY_OF_MESSAGES] if kind == "GRIB" else content


def sample_domain(root: Path, source: Path, kind: str) -> Domain:
    expected = TABLE[SAMPLES[kind]]
    assert isinstance(expected, Ingested)
    return make_domain(root, source, expected.box, expected.cadence_h, expected.first)


def stored_bytes(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module", params=SAMPLES)
def filled(
    request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, bytes, Path]:
    """Kind and bytes of a sample, and the root of archives it was ingested into."""
    folder = tmp_path_factory.mktemp("filled")
    content = sample_content(shared_data, request.param)
    (folder / "good").write_bytes(content)
    assert ingest(sample_domain(folder / "root", folder / "good", request.param)).written
    return request.param, content, folder / "root"


def frames_of(source: Path, kind: str) -> xr.Dataset:
    domain = sample_domain(Path("unused"), source, kind)
    files = open_source(domain)
    (frames,) = files.fetch(files.available(EVER), domain.target_grid)
    return frames


@pytest.mark.parametrize("fault", REFUSED_WHEN)
def test_a_mishandled_file_is_refused_and_nothing_stored_is_changed(
    filled: tuple[str, bytes, Path], fault: str, tmp_path: Path
) -> None:
    kind, content, root = filled
    spoil, words = REFUSED_WHEN[fault]
    path = tmp_path / "spoilt.nc"
    path.write_bytes(spoil(content))
    before = stored_bytes(root)
    with pytest.raises(SourceDataError, match=words) as refusal:
        ingest(sample_domain(root, path, kind))
    assert str(refusal.value).startswith("Expected ")
    assert f"{path}, found " in str(refusal.value)
    assert stored_bytes(root) == before


@pytest.mark.parametrize("name", ["t2m.grib", "t2m.nc", "t2m.txt", "mit Leerzeichen, 気温"])
def test_a_file_says_the_same_under_any_name(
    filled: tuple[str, bytes, Path], name: str, tmp_path: Path
) -> None:
    kind, content, _ = filled
    paths = [tmp_path / "as it came", tmp_path / name]
    for path in paths:
        path.write_bytes(content)
    plain, renamed = (frames_of(path, kind) for path in paths)
    xr.testing.assert_identical(plain.drop_attrs(), renamed.drop_attrs())


@pytest.mark.parametrize("turn", ["0..360 in the same order", "0..360 sorted", "all the way round"])
def test_longitudes_of_another_convention_give_the_same_fields(
    turn: str, shared_data: Path, tmp_path: Path
) -> None:
    kind = "netCDF-3"  # 30 W to 10 E, across Greenwich
    with xr.open_dataset(shared_data / SAMPLES[kind], decode_cf=False) as dataset:
        longitude = dataset["longitude"].values
        turned = longitude + 360 if turn == "all the way round" else longitude % 360
        flipped = dataset.assign_coords(
            longitude=("longitude", turned, dataset["longitude"].attrs)
        ).load()
    if turn == "0..360 sorted":
        flipped = flipped.sortby("longitude")
    flipped.to_netcdf(tmp_path / "flipped.nc", engine="netcdf4")
    frames = frames_of(tmp_path / "flipped.nc", kind)
    xr.testing.assert_identical(
        frames.drop_attrs(), frames_of(shared_data / SAMPLES[kind], kind).drop_attrs()
    )


def test_temperature_on_other_levels_is_never_taken_for_that_at_2_m(
    shared_data: Path, tmp_path: Path
) -> None:
    content = (shared_data / "gfs/gfs.t12z.pgrbf120.2p5deg.grib2").read_bytes()
    start, length = 2457396, 13101  # of 2 m temperature, as the README has it
    assert content[start : start + length].startswith(b"GRIB")
    assert content[start : start + length].endswith(b"7777")
    path = tmp_path / "all but 2 m.grib2"
    path.write_bytes(content[:start] + content[start + length :])
    with pytest.raises(SourceDataError, match=r"t \(Temperature, isobaricInhPa 10\)") as refusal:
        ingest(make_domain(tmp_path / "root", path, EUROPE, 6, "2011-01-10"))
    assert f"{path}, found: " in str(refusal.value)
    assert len(str(refusal.value)) < 1000
    assert not (tmp_path / "root").exists()
