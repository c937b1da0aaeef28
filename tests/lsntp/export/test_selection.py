"""Which forecasts are chosen for export, and what is said where there are none."""

import numpy as np
import pytest

from lsntp.config import Domain
from lsntp.config.region import RegionConfig
from lsntp.errors import ArchiveNotFoundError, ConfigError, DomainError, EvaluationError
from lsntp.export.selection import fields_of, parse_initial, parse_numbers, select_forecasts
from lsntp.times import Period
from tests.exported import INITS, VERSION, publish, values


def test_the_newest_complete_forecast_of_the_champion_is_chosen_by_default(domain: Domain) -> None:
    chosen = select_forecasts(domain)
    assert chosen.init_times.tolist() == INITS[-1:].tolist()
    np.testing.assert_array_equal(chosen.dataset["t2m"], values(INITS[-1:]))
    assert chosen.versions == [VERSION]
    assert fields_of(chosen.dataset) == ["t2m"]
    assert str(chosen) == "1 forecast of champion, 2024-01-29T18:00Z, all cells"


def test_a_period_has_what_starts_in_it_its_end_not_included(domain: Domain) -> None:
    day = Period.parse("2024-01-29T06", "2024-01-29T18")
    assert select_forecasts(domain, initial=day).init_times.tolist() == INITS[1:2].tolist()
    every = select_forecasts(domain, initial=parse_initial(".."))
    np.testing.assert_array_equal(every.dataset["t2m"], values(INITS))
    assert "3 forecasts of champion, 2024-01-29T00:00Z..2024-01-29T18:00Z" in str(every)


@pytest.mark.parametrize("text", ["2024-01-29T06", "2024-01-29T06:00Z", "2024-01-29T08+02:00"])
def test_an_initial_time_is_taken_in_utc(domain: Domain, text: str) -> None:
    chosen = select_forecasts(domain, initial=parse_initial(text))
    assert chosen.init_times.tolist() == INITS[1:2].tolist()


def test_the_nearest_cell_stands_for_a_place_and_says_how_far_it_is(domain: Domain) -> None:
    # One degree of latitude is pi / 180 * 6371 km = 111.19 km: 0.2 degrees are 22.2 km.
    chosen = select_forecasts(domain, place=(51.2, 2.0))
    assert "the cell at 51, 2, 22.2 km from 51.2, 2" in str(chosen)
    assert chosen.dataset["t2m"].dims == ("init_time", "lead_time")
    # three steps of 6 h, the second row, the third column
    assert chosen.dataset["t2m"].values.tolist() == [[284.0, 284.25]]
    assert float(chosen.dataset["latitude"]) == 51.0
    assert "22.2 km" in chosen.dataset.attrs["history"]


def test_a_place_may_be_given_with_degrees_east_beyond_180(domain: Domain) -> None:
    assert float(select_forecasts(domain, place=(50, 359.9)).dataset["longitude"]) == 0.0


@pytest.mark.parametrize("place", [(53.0, 1.0), (51.0, 9.0), (51.0, -170.0), (500.0, 1.0)])
def test_a_place_outside_is_refused_with_the_edges_of_the_cells(
    domain: Domain, place: tuple[float, float]
) -> None:
    with pytest.raises(DomainError, match=r"49\.5\.\.52\.5 N, -0\.5\.\.3\.5 E, found"):
        select_forecasts(domain, place=place)


def test_a_box_has_the_cells_whose_centres_lie_inside(domain: Domain) -> None:
    box = RegionConfig(north=51.4, south=50, west=1, east=2.9)
    chosen = select_forecasts(domain, box=box).dataset
    assert chosen["latitude"].values.tolist() == [51, 50]
    assert chosen["longitude"].values.tolist() == [1, 2]
    np.testing.assert_array_equal(chosen["t2m"], values(INITS[-1:])[..., 1:, 1:3])
    with pytest.raises(DomainError, match=r"50\.1\.\.50\.9 N.*found none among 3 x 4 cells"):
        select_forecasts(domain, box=RegionConfig(north=50.9, south=50.1, west=1, east=2))


def test_celsius_is_kelvin_less_273_15_and_says_so(domain: Domain) -> None:
    field = select_forecasts(domain, place=(52, 0), unit="celsius").dataset["t2m"]
    # 270 K and two steps for 18 UTC more, 12 h after 6 UTC: 273 K at the first lead
    np.testing.assert_allclose(field, [[-0.15, 0.10]], atol=1e-6)
    assert field.attrs["units"] == "degC"
    assert field.attrs["standard_name"] == "air_temperature"
    assert field.dtype == np.float32


def test_a_time_without_forecast_names_those_there_are(domain: Domain) -> None:
    with pytest.raises(EvaluationError) as caught:
        select_forecasts(domain, initial=np.datetime64("2024-01-29T12", "ns"))
    said = str(caught.value)
    assert "from 2024-01-29T12:00Z, found none; there are 3" in said
    assert "2024-01-29T00:00Z..2024-01-29T18:00Z" in said
    assert "next to it 2024-01-29T06:00Z and 2024-01-29T18:00Z" in said
    with pytest.raises(EvaluationError, match=r"2025-01-01T00:00Z\.\., found none; there are 3"):
        select_forecasts(domain, initial=parse_initial("2025-01-01.."))


def test_an_archive_whose_forecasts_were_all_withdrawn_has_none_at_all(domain: Domain) -> None:
    publish(domain, "ridge", INITS[:1]).withdraw(INITS[:1])
    with pytest.raises(EvaluationError, match="found none; there is none at all"):
        select_forecasts(domain, model="ridge")


def test_a_model_without_forecasts_names_those_with(domain: Domain) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"forecasts of ridge.*some of champion"):
        select_forecasts(domain, model="ridge")


@pytest.mark.parametrize("model", ["moon", "../small/champion", ""])
def test_a_name_that_is_no_model_never_becomes_a_path(domain: Domain, model: str) -> None:
    with pytest.raises(ConfigError, match="one of champion, persistence, ridge"):
        select_forecasts(domain, model=model)


@pytest.mark.parametrize("text", ["48.9", "48.9,2.4,7", "north,east", "nan,2", "1e999,2", ""])
def test_numbers_that_are_none_are_refused_with_what_was_typed(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Expected --place LAT,LON in degrees"):
        parse_numbers(text, ("LAT", "LON"), "--place")


def test_what_holds_for_the_archive_only_does_not_go_along(domain: Domain) -> None:
    attrs = select_forecasts(domain).dataset.attrs
    assert not {"lsntp_start", "lsntp_cadence_s"} & set(attrs)
    assert attrs["model"] == "champion"
    assert attrs["synthetic"] == "true"
