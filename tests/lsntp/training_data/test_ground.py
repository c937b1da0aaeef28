import numpy as np
import pytest
import xarray as xr

from lsntp.config import LsntpConfig
from lsntp.config.architecture import PRESETS
from lsntp.config.static import StaticFiles
from lsntp.errors import TrainingDataError
from lsntp.land import land_fraction
from lsntp.training import fit, train
from lsntp.training.history import open_analysis, read_fields
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import latest_version
from lsntp.training_data.ground import known_ground
from lsntp.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")

TOLD = {"name": "convnet", "width": 3, "blocks": 1}


def with_static(domain, architecture=TOLD):
    network = type(domain.networks["net"]).model_validate(
        {
            "architecture": architecture,
            "scaling": "standard",
            "training": {"epochs": 1, "batch_size": 32},
        }
    )
    static = StaticFiles(paths=("ground.nc",))
    return domain.model_copy(update={"static": static, "networks": {"told": network}})


def store(domain, land, *, height=None, rows=slice(None)):
    grid = domain.target_grid
    fields = {"land_fraction": land} | ({} if height is None else {"orography": height})
    dataset = xr.Dataset(
        {name: (("latitude", "longitude"), field[rows]) for name, field in fields.items()},
        {"latitude": grid.latitude[rows], "longitude": grid.longitude},
    )
    path = Workspace.of(domain).static
    dataset.to_zarr(path, zarr_format=3, consolidated=True, mode="w")


def test_a_domain_without_static_fields_has_the_land_of_the_coastlines(ingested):
    np.testing.assert_allclose(
        known_ground(ingested).land, land_fraction(ingested.target_grid), atol=1e-6
    )


def test_a_domain_with_static_fields_has_its_own(ingested):
    domain = with_static(ingested)
    land = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    store(domain, land)
    np.testing.assert_array_equal(known_ground(domain).land, land)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda domain: None, r"found none that can be read .*lsntp static small"),
        (
            lambda domain: store(domain, np.zeros((6, 8), np.float32), rows=slice(1, None)),
            r"on the domain's grid .*found 5 x 8 cells of another",
        ),
        (
            lambda domain: store(domain, np.full((6, 8), np.nan, np.float32)),
            r"share of land of every cell .*none in 48 of 48",
        ),
    ],
)
def test_static_fields_that_cannot_be_used_are_refused_before_any_fit(
    ingested, monkeypatch, spoil, message
):
    domain = with_static(ingested)
    spoil(domain)
    monkeypatch.setattr(fit, "build_training_archive", lambda *_: pytest.fail("began"))
    with pytest.raises(TrainingDataError, match=message):
        train(domain)


def test_a_version_keeps_the_land_it_was_trained_with(ingested):
    domain = with_static(ingested)
    store(domain, np.zeros((6, 8), np.float32))
    (first,) = train(domain, models=["told"])
    store(domain, np.ones((6, 8), np.float32))
    (second,) = train(domain, models=["told"])
    assert second.created
    assert second.version != first.version
    folder = Workspace.of(domain).models
    forecaster = load_forecaster(latest_version(folder, "told"), domain)
    assert (forecaster.forcings.static[0] == 1.0).all()
    init_times = open_analysis(domain).times[100:102]
    history = read_fields(open_analysis(domain), init_times, forecaster.offsets)
    assert np.isfinite(forecaster.forecast(history, init_times)).all()


HIGH = {
    "name": "lsntp",
    "configuration": "plus",
    "hidden": 2,
    "embedding": 2,
    "width": 3,
    "stem": 2,
    "context": 1,
    "nodes": 1,
    "calendar": True,
    "orography": True,
}


def test_a_version_keeps_the_height_it_was_trained_with_and_is_told_it_in_km(ingested):
    domain = with_static(ingested, HIGH)
    land, height = np.zeros((6, 8), np.float32), np.linspace(0, 2000, 48).reshape(6, 8)
    store(domain, land, height=height)
    (report,) = train(domain, models=["told"])
    store(domain, land, height=height + 100)
    forecaster = load_forecaster(latest_version(Workspace.of(domain).models, "told"), domain)
    np.testing.assert_allclose(forecaster.forcings.static[2], height / 1000, rtol=1e-6)
    (other,) = train(domain, models=["told"])
    assert other.version != report.version


def test_a_height_that_nobody_has_is_asked_for_before_any_fit(ingested, monkeypatch):
    domain = with_static(ingested, HIGH)
    store(domain, np.zeros((6, 8), np.float32))
    monkeypatch.setattr(fit, "build_training_archive", lambda *_: pytest.fail("began"))
    with pytest.raises(TrainingDataError, match=r"none that can be read .*orography"):
        train(domain)
    with pytest.raises(TrainingDataError, match=r"found static: null; name files, era5 or gfs"):
        known_ground(domain.model_copy(update={"static": None}), with_height=True)
    content = domain.model_dump(mode="json") | {"static": None}
    with pytest.raises(ValueError, match=r"networks\.told\.architecture\.orography: expected"):
        type(domain).model_validate(content)


def test_a_height_with_a_hole_is_refused_with_a_way_out_that_is_one(ingested):
    domain = with_static(ingested, HIGH)
    store(domain, np.zeros((6, 8), np.float32), height=np.full((6, 8), np.nan))
    with pytest.raises(TrainingDataError, match=r"height of every cell .*orography: false"):
        known_ground(domain, with_height=True)


@pytest.mark.parametrize(
    ("change", "needed"), [({"static": False}, "static"), ({"forcings": False}, "forcings")]
)
def test_more_than_the_fields_it_adds_to_is_refused(change, needed):
    with pytest.raises(ValueError, match=f"expected {needed}: true with"):
        LsntpConfig.model_validate(HIGH | change)


def test_versions_of_before_keep_their_names():
    later = {"calendar", "orography", "skip"}
    assert not later & LsntpConfig(configuration="plus").model_dump().keys()
    assert not later & PRESETS["plus"].keys()
