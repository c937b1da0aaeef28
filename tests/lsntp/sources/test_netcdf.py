import gc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.sources.netcdf import NetcdfPart, coalesce_versions, open_netcdf

AREA = Grid(np.array([51.0, 50.0]), np.array([-1.0, 0.0, 1.0]))
Make = Callable[..., xr.Dataset]
Write = Callable[..., Path]


def read(part: NetcdfPart, positions: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return part.read(np.array(positions), part.grid.window(AREA, "a"))


def opened(path: Path) -> NetcdfPart:
    return open_netcdf(path, path.name)


@pytest.mark.parametrize("layout", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_every_netcdf_layout_gives_the_same_values(
    layout: str, make_dataset: Make, write: Write
) -> None:
    dataset = make_dataset().assign_coords(number=np.int32(0))
    values, statuses = read(opened(write(dataset, format=layout)), [0, 2])
    np.testing.assert_array_equal(values, dataset.t2m.values[[0, 2]])
    assert statuses.tolist() == [Status.FINAL] * 2


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_gives_the_same_values(version: int, make_dataset: Make, tmp_path: Path) -> None:
    dataset = make_dataset()
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=False)
    values, _ = read(open_netcdf(tmp_path / "a.zarr", "a", "zarr"), [1])
    np.testing.assert_array_equal(values, dataset.t2m.values[[1]])


def test_packed_integers_are_unpacked_and_masked(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset()
    dataset.t2m.values[0, 0, 0] = np.nan
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32767}
    values, _ = read(opened(write(dataset, encoding={"t2m": packing})), [0, 1, 2])
    np.testing.assert_allclose(values, dataset.t2m.values, atol=0.0051)
    assert np.isnan(values[0, 0, 0])
    assert np.isnan(values).sum() == 1


def test_positions_may_come_in_any_order_and_with_gaps(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset(range(40))
    positions = [30, 31, 2, 5, 39, 0]
    values, _ = read(opened(write(dataset)), positions)
    np.testing.assert_array_equal(values, dataset.t2m.values[positions])


def test_any_order_of_dimensions_and_a_level_of_size_one_are_accepted(
    make_dataset: Make, write: Write
) -> None:
    dataset = make_dataset()
    level = xr.DataArray([2.0], dims="level", attrs={"units": "m"})
    turned = dataset.assign(
        t2m=dataset.t2m.expand_dims(level=level).transpose(
            "longitude", "level", "latitude", "valid_time"
        )
    )
    values, _ = read(opened(write(turned)), [0, 1, 2])
    np.testing.assert_array_equal(values, dataset.t2m.values)


def test_a_single_field_with_a_scalar_time_is_one_frame(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset().isel(valid_time=1)
    part = opened(write(dataset))
    assert part.times.astype("datetime64[h]").astype(str).tolist() == ["2020-01-01T01"]
    np.testing.assert_array_equal(read(part, [0])[0], dataset.t2m.values[None])


def test_longitudes_of_0_to_360_across_greenwich_are_turned(
    make_dataset: Make, write: Write
) -> None:
    dataset = make_dataset()
    east = dataset.assign_coords(longitude=("longitude", dataset.longitude.values % 360))
    part = opened(write(east.sortby("longitude")))
    assert part.grid.longitude.tolist() == [0.0, 1.0, 2.0, 358.0, 359.0]
    np.testing.assert_array_equal(read(part, [0])[0], dataset.t2m.values[[0]])


def test_celsius_becomes_kelvin(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset()
    celsius = dataset.assign(t2m=(dataset.t2m - 273.15).assign_attrs(units="degrees_Celsius"))
    values, _ = read(opened(write(celsius)), [0, 1, 2])
    np.testing.assert_allclose(values, dataset.t2m.values, atol=1e-4)


def test_expver_strings_along_time_are_kept_per_hour(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset().assign_coords(expver=("valid_time", ["0001", "0001", "0005"]))
    _, statuses = read(opened(write(dataset)), [0, 2])
    assert statuses.tolist() == [Status.FINAL, Status.PRELIMINARY]


def test_a_scalar_expver_holds_for_every_hour(make_dataset: Make, write: Write) -> None:
    _, statuses = read(opened(write(make_dataset().assign_coords(expver="0005"))), [0, 1])
    assert statuses.tolist() == [Status.PRELIMINARY] * 2


def test_an_expver_dimension_is_coalesced_final_over_preliminary(
    make_dataset: Make, write: Write
) -> None:
    # Hour 0 exists as final only, hour 1 as both, hour 2 as preliminary only.
    dataset = make_dataset()
    final, preliminary = dataset.t2m.copy(deep=True), dataset.t2m + 1.0
    final[2], preliminary[0] = np.nan, np.nan
    both = xr.concat([final, preliminary], xr.DataArray([1, 5], dims="expver", name="expver"))
    layout = both.transpose("valid_time", "expver", ...).assign_attrs(dataset.t2m.attrs)
    values, statuses = read(opened(write(dataset.assign(t2m=layout))), [0, 1, 2])
    np.testing.assert_array_equal(values, dataset.t2m.values + np.array([0, 0, 1])[:, None, None])
    assert statuses.tolist() == [Status.FINAL, Status.FINAL, Status.PRELIMINARY]


def test_one_preliminary_cell_makes_a_frame_preliminary() -> None:
    final = np.array([[[280.0, np.nan]]], np.float32)
    preliminary = np.array([[[281.0, 282.0]]], np.float32)
    fields, statuses = coalesce_versions({Status.FINAL: final, Status.PRELIMINARY: preliminary})
    assert fields.tolist() == [[[280.0, 282.0]]]
    assert statuses.tolist() == [Status.PRELIMINARY]


def test_hours_kept_as_fractions_of_a_day_land_on_the_hour(
    make_dataset: Make, write: Write
) -> None:
    dataset = make_dataset(range(24)).drop_vars("valid_time")
    days = ("valid_time", 40000.0 + np.arange(24) / 24, {"units": "days since 1900-01-01"})
    part = opened(write(dataset.assign_coords(valid_time=days)))
    assert set(np.diff(part.times)) == {np.timedelta64(1, "h")}


def drop_units(dataset: xr.Dataset) -> xr.Dataset:
    del dataset.t2m.attrs["units"]
    return dataset


def with_attrs(dataset: xr.Dataset, **attrs: str) -> xr.Dataset:
    return dataset.assign(t2m=dataset.t2m.assign_attrs(attrs))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.rename(t2m="d2m"), r"variable of 2 m temperature .*found: d2m"),
        (lambda d: d.drop_vars("t2m"), r"found: none"),
        (drop_units, "no units attribute"),
        (lambda d: d.assign(t2m=d.t2m.assign_attrs(units="m s-1")), "found units 'm s-1'"),
        (lambda d: d.drop_vars(["latitude", "longitude"]), "latitude and longitude .*found none"),
        (lambda d: d.drop_vars("valid_time"), "Expected a time coordinate"),
        (lambda d: d.assign_coords(valid_time=[0, 1, 2]), "times with units"),
        (lambda d: d.isel(latitude=0, longitude=0), "single place"),
        (lambda d: d.isel(latitude=[0]), "single latitude"),
        (lambda d: d.isel(latitude=0, longitude=0, drop=True), "point series t2m"),
        (lambda d: d.expand_dims(number=[0, 1]), "select one level and one member"),
        (lambda d: d.assign_coords(step=6.0), "found forecasts"),
        (lambda d: d.assign_coords(expver="0078"), "expver 0001"),
        (lambda d: with_attrs(d, GRIB_stream="moda"), "monthly means .GRIB_stream moda"),
        (lambda d: with_attrs(d, GRIB_stepType="avgua"), "time range .GRIB_stepType avgua"),
        (lambda d: with_attrs(d, GRIB_dataType="es"), "ensemble .*GRIB_dataType es"),
        (
            lambda d: d.assign_coords(valid_time=d.valid_time.values[[0, 2, 1]]).isel(
                latitude=[0, 2, 1]
            ),
            "latitude to rise or fall",
        ),
    ],
)
def test_unusable_files_are_refused_saying_what_was_found(
    change: Callable[[xr.Dataset], xr.Dataset], match: str, make_dataset: Make, write: Write
) -> None:
    with pytest.raises(SourceDataError, match=match):
        opened(write(change(make_dataset())))


def test_times_beyond_the_calendar_are_refused(make_dataset: Make, write: Write) -> None:
    times = ("valid_time", [0.0, 1e7, 2e7], {"units": "days since 1900-01-01"})
    dataset = make_dataset().drop_vars("valid_time").assign_coords(valid_time=times)
    with pytest.raises(SourceDataError, match=r"times with units|cannot be decoded"):
        opened(write(dataset))


def test_temperature_on_a_pressure_level_is_refused(make_dataset: Make, write: Write) -> None:
    level = ((), 850.0, {"units": "hPa"})
    dataset = make_dataset().rename(t2m="air").assign_coords(level=level)
    with pytest.raises(SourceDataError, match=r"near the ground .*level 850 hPa"):
        opened(write(dataset))


def test_monthly_means_are_refused(make_dataset: Make, write: Write) -> None:
    with pytest.raises(SourceDataError, match="monthly means"):
        opened(write(make_dataset([0, 31 * 24, 60 * 24])))


def test_daily_means_are_refused_and_hourly_means_are_not(make_dataset: Make, write: Write) -> None:
    with pytest.raises(SourceDataError, match="means over a day"):
        opened(write(make_dataset([0, 24, 48], cell_methods="time: mean")))
    assert opened(write(make_dataset([0, 1, 2], cell_methods="time: mean"))).times.size == 3


def test_a_curvilinear_grid_is_refused(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset().rename(latitude="y", longitude="x").drop_vars(["x", "y"])
    places = {name: (("y", "x"), np.zeros((4, 5))) for name in ("latitude", "longitude")}
    with pytest.raises(SourceDataError, match="curvilinear"):
        opened(write(dataset.assign_coords(places)))


@pytest.mark.parametrize("layout", ["NETCDF4", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused(
    layout: str, kept: float, make_dataset: Make, write: Write
) -> None:
    dataset = make_dataset(range(48)).assign_coords(number=np.int32(0))
    content = write(dataset, format=layout).read_bytes()
    with pytest.raises(SourceDataError, match="fetch it again"):
        opened(write(content[: int(kept * len(content))], "cut.nc"))


def test_nothing_of_a_netcdf_3_file_cut_short_stays_open(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset(range(48)).assign_coords(number=np.int32(0))
    axes_first = xr.Dataset(coords=dataset.coords).assign(t2m=dataset.t2m)
    content = write(axes_first, format="NETCDF3_64BIT").read_bytes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(SourceDataError, match="fetch it again") as refusal:
            opened(write(content[:-4], "cut.nc"))
        refusal.value.kept_by = refusal.value  # type: ignore[attr-defined]  # as loggers may do
        del refusal
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_a_file_that_changed_since_it_was_opened_is_worth_another_try(
    make_dataset: Make, write: Write
) -> None:
    part = opened(write(make_dataset()))
    write(make_dataset(range(5)))
    with pytest.raises(SourceUnavailableError, match="changed"):
        read(part, [0])
