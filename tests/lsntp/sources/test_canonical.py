import numpy as np
import pytest

from lsntp.errors import SourceDataError
from lsntp.names import Status
from lsntp.sources.canonical import find_t2m, is_upper_level, status_of_expver, to_kelvin


@pytest.mark.parametrize("unit", ["K", "degK", "kelvin", "Kelvin", " deg_K "])
def test_kelvin_stays_kelvin(unit: str) -> None:
    assert to_kelvin(np.array([273.15]), unit, "a").tolist() == [np.float32(273.15)]


@pytest.mark.parametrize(
    "unit", ["degrees_Celsius", "degC", "°C", "celsius", "C", "degree_Celsius", "deg C"]
)
def test_zero_celsius_is_273_15_kelvin(unit: str) -> None:
    assert to_kelvin(np.array([0.0]), unit, "a").tolist() == [np.float32(273.15)]


def test_water_boils_at_212_fahrenheit() -> None:
    assert to_kelvin(np.array([212.0]), "degF", "a").tolist() == [np.float32(373.15)]


def test_a_masked_value_stays_nan() -> None:
    assert np.isnan(to_kelvin(np.array([np.nan]), "degC", "a")).all()


@pytest.mark.parametrize("unit", ["m s-1", "", None, "1"])
def test_other_units_are_refused_by_name(unit: str | None) -> None:
    with pytest.raises(SourceDataError, match=r"Expected temperature in K.*in a\.nc, found"):
        to_kelvin(np.array([1.0]), unit, "a.nc")


@pytest.mark.parametrize("expver", ["0001", "1", 1, b"0001", 1.0, np.int32(1), np.str_("0001")])
def test_expver_1_is_final(expver: object) -> None:
    assert status_of_expver(expver, "a") is Status.FINAL


@pytest.mark.parametrize("expver", ["0005", 5, b"0005", np.float64(5.0)])
def test_expver_5_is_preliminary(expver: object) -> None:
    assert status_of_expver(expver, "a") is Status.PRELIMINARY


@pytest.mark.parametrize("expver", ["0078", "", "prod", float("nan")])
def test_any_other_expver_is_refused(expver: object) -> None:
    with pytest.raises(SourceDataError, match="expver 0001"):
        status_of_expver(expver, "a")


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("t2m", {"GRIB_paramId": 167}),
        ("VAR_2T", {"GRIB_paramId": 167, "long_name": "2 metre temperature"}),
        ("2t", {}),
        ("tas", {"standard_name": "air_temperature"}),
        ("air", {"long_name": "4xDaily Air temperature at sigma level 995"}),
        ("TMP_2maboveground", {}),
        ("2m_temperature", {"long_name": "2 metre temperature", "short_name": "t2m"}),
        ("temperature_2m", {"long_name": "2 metre temperature"}),
        ("VAR_2T", {"long_name": "2 metre temperature"}),
        ("T_2M", {}),
        ("temperature", {"standard_name": "air_temperature"}),
    ],
)
def test_2_m_temperature_is_known_by_its_metadata(name: str, attrs: dict[str, object]) -> None:
    variables = {"d2m": {"GRIB_paramId": 168, "long_name": "2 metre dewpoint temperature"}}
    assert find_t2m({**variables, name: attrs, "u10": {}}, "a") == name


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("aptmp", {"long_name": "Apparent temperature", "standard_name": "air_temperature"}),
        ("t2m", {"GRIB_paramId": 168}),
        ("t2m", {"long_name": "ensemble spread of 2 metre temperature"}),
        ("tas", {"cell_methods": "time: maximum"}),
        ("air", {"long_name": "Air temperature anomalies"}),
        ("skt", {"long_name": "Skin temperature"}),
    ],
)
def test_near_misses_are_refused_and_listed(name: str, attrs: dict[str, object]) -> None:
    with pytest.raises(SourceDataError, match=rf"Expected a variable of 2 m.*found: {name}"):
        find_t2m({name: attrs}, "a")


def test_two_candidates_of_equal_rank_are_refused() -> None:
    attrs = {"standard_name": "air_temperature"}
    with pytest.raises(SourceDataError, match="found low, high"):
        find_t2m({"low": attrs, "high": attrs}, "a")


def test_pressure_levels_are_upper_levels_and_2_m_is_not() -> None:
    assert is_upper_level("hPa", 850.0)
    assert is_upper_level("m", 100.0)
    assert not is_upper_level("m", 2.0)
    assert not is_upper_level(None, 0.0)
