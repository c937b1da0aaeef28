import logging
from collections.abc import Callable
from pathlib import Path

import eccodes
import numpy as np
import pytest

from lsntp.errors import LsntpError, SourceDataError, SourceUnavailableError
from lsntp.grid import Grid, regular_grid
from lsntp.names import Status
from lsntp.sources.grib import open_grib

AREA = Grid(np.array([51.0, 50.0]), np.array([-1.0, 0.0, 1.0]))
Make = Callable[..., bytes]
Write = Callable[..., Path]
Fields = Callable[..., np.ndarray]


@pytest.mark.parametrize("edition", [1, 2])
def test_values_times_and_places_come_back(
    edition: int, make_message: Make, make_fields: Fields, write: Write
) -> None:
    fields = make_fields(3)
    content = b"".join(
        make_message(field, edition=edition, hour=hour) for hour, field in enumerate(fields)
    )
    (part,) = open_grib(write(content), "a.grib")
    assert part.times.astype("datetime64[h]").astype(str).tolist() == [
        "2020-01-01T00",
        "2020-01-01T01",
        "2020-01-01T02",
    ]
    window = part.grid.window(AREA, "a")
    values, statuses = part.read(np.array([2, 0]), window)
    np.testing.assert_allclose(values, fields[[2, 0]], atol=1e-4)
    assert window.grid.longitude.tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert statuses.tolist() == [Status.FINAL, Status.FINAL]


def test_south_to_north_and_westward_scanning_is_turned(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    (field,) = make_fields()
    content = make_message(
        field[::-1, ::-1],
        jScansPositively=1,
        iScansNegatively=1,
        latitudeOfFirstGridPointInDegrees=49.0,
        latitudeOfLastGridPointInDegrees=52.0,
        longitudeOfFirstGridPointInDegrees=2.0,
        longitudeOfLastGridPointInDegrees=358.0,
    )
    (part,) = open_grib(write(content), "a.grib")
    values, _ = part.read(np.array([0]), part.grid.window(AREA, "a"))
    np.testing.assert_allclose(values[0], field, atol=1e-4)


def test_masked_cells_become_nan(make_message: Make, make_fields: Fields, write: Write) -> None:
    (field,) = make_fields()
    field[1, 2] = np.nan
    (part,) = open_grib(write(make_message(field)), "a.grib")
    values, _ = part.read(np.array([0]), part.grid.window(AREA, "a"))
    np.testing.assert_array_equal(np.isnan(values[0]), np.isnan(field))


def test_expver_is_kept_per_message(make_message: Make, make_fields: Fields, write: Write) -> None:
    fields = make_fields(2)
    content = make_message(fields[0], expver="0001") + make_message(
        fields[1], hour=1, expver="0005"
    )
    (part,) = open_grib(write(content), "a.grib")
    _, statuses = part.read(np.array([0, 1]), part.grid.window(AREA, "a"))
    assert statuses.tolist() == [Status.FINAL, Status.PRELIMINARY]


def test_two_grids_in_one_file_are_two_parts(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    (field,) = make_fields()
    content = make_message(field) + make_message(field[:, :4], hour=1)
    assert [part.grid.longitude.size for part in open_grib(write(content), "a")] == [5, 4]


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"stepRange": "6"}, r"1 of a forecast \(step 6\)"),
        ({"stream": "moda"}, r"monthly means \(stream moda\)"),
        ({"paramId": 168}, r"found: 2d \(2 metre dewpoint temperature, surface 0\)"),
        ({"paramId": 130}, r"found: t \(Temperature, "),
        (
            {"paramId": 130, "typeOfLevel": "isobaricInhPa", "level": 2},
            r"found: t \(Temperature, isobaricInhPa 2\); point source\.paths at",
        ),
    ],
)
def test_what_is_no_analysis_of_2_m_temperature_is_refused(
    keys: dict[str, object], match: str, make_message: Make, make_fields: Fields, write: Write
) -> None:
    with pytest.raises(SourceDataError, match=match):
        open_grib(write(make_message(make_fields()[0], **keys)), "a.grib")


def test_the_nearest_misses_of_many_fields_are_named_first(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    (field,) = make_fields()
    others = [165, 166, 134, 151, 164, 136, 137, 31, 33, 235]  # 235: skin temperature
    content = b"".join(make_message(field, paramId=parameter) for parameter in others)
    with pytest.raises(SourceDataError, match=r"found: skt \(Skin temperature, .* and 2 more"):
        open_grib(write(content), "a.grib")


def test_forecasts_beside_analyses_are_left_out_with_a_warning(
    make_message: Make, make_fields: Fields, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    (field,) = make_fields()
    content = make_message(field) + make_message(field, stepRange="3")
    with caplog.at_level(logging.WARNING):
        (part,) = open_grib(write(content), "a.grib")
    assert part.times.size == 1
    assert "1 of a forecast (step 3)" in caplog.text


def test_forecasts_of_the_asked_step_are_read_at_the_time_they_are_for(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    fields = make_fields(3)
    path = write(
        b"".join(
            make_message(field, hour=12, stepRange=step)
            for field, step in zip(fields, ("0", "18", "24"), strict=True)
        )
    )
    (part,) = open_grib(path, "a.grib", step_h=18)
    assert np.array_equal(part.times, [np.datetime64("2020-01-02T06", "ns")])
    (message,) = part.messages
    window = part.grid.window(regular_grid(north=52, south=49, west=-2, east=2, spacing=1), "a")
    np.testing.assert_allclose(part.read(np.array([0]), window)[0][0], fields[1], atol=1e-3)
    assert message.status == Status.FINAL
    with pytest.raises(SourceDataError, match=r"forecasts 6 h ahead.*1 of an analysis"):
        open_grib(path, "a.grib", step_h=6)


def test_months_apart_are_refused_as_monthly_means(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    (field,) = make_fields()
    content = make_message(field, date=20200101) + make_message(field, date=20200201)
    with pytest.raises(SourceDataError, match=r"monthly means \(at least 31 days"):
        open_grib(write(content), "a.grib")


def test_damaged_headers_are_refused_without_a_word_from_the_decoder(
    make_message: Make, make_fields: Fields, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    message = make_message(make_fields()[0])
    rng = np.random.default_rng(0)
    refused = []
    for _ in range(300):
        content = bytearray(message)
        position = int(rng.integers(8, len(message) - 4))
        content[position : position + 4] = rng.bytes(4)
        try:
            for part in open_grib(write(bytes(content)), "a.grib"):
                part.read(np.arange(part.times.size), part.grid.window(AREA, "a"))
        except LsntpError as error:
            refused.append(error)
    assert len(refused) > 20
    assert capfd.readouterr() == ("", "")


def test_a_reduced_gaussian_grid_is_refused_with_the_remedy(write: Write) -> None:
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_sfc_grib1")
    content = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    with pytest.raises(SourceDataError, match="reduced_gg; regrid the file first"):
        open_grib(write(content), "a.grib")


def test_a_file_that_changed_since_it_was_opened_is_worth_another_try(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    message = make_message(make_fields()[0])
    (part,) = open_grib(write(message), "a.grib")
    write(message + message)
    with pytest.raises(SourceUnavailableError, match="changed"):
        part.read(np.array([0]), part.grid.window(AREA, "a"))


def test_a_regular_gaussian_grid_has_the_roots_of_the_legendre_polynomial(write: Write) -> None:
    handle = eccodes.codes_grib_new_from_samples("regular_gg_sfc_grib1")
    eccodes.codes_set(handle, "paramId", 167)
    content = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    (part,) = open_grib(write(content), "a.grib")
    nodes, _ = np.polynomial.legendre.leggauss(64)
    np.testing.assert_allclose(part.grid.latitude, np.degrees(np.arcsin(nodes))[::-1], atol=1e-6)
    # Edition 1 rounds the last longitude to a thousandth of a degree.
    assert part.grid.longitude[1] == pytest.approx(2.8125, abs=1e-5)
