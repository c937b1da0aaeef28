import itertools
import warnings

import numpy as np
import pytest
import xarray as xr
from zarr.storage import LocalStore

from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.staging import Staging
from lsntp.errors import ArchiveError, ArchiveNotFoundError, StorageError
from lsntp.names import Status
from lsntp.times import hours

LEADS = np.array([1, 2, 3], "timedelta64[h]").astype("timedelta64[ns]")
FINAL = np.array([Status.FINAL], np.int8)


def create(lab, path, **changes) -> ForecastArchive:
    wanted = {
        "grid": lab.SMALL_GRID,
        "start": lab.START,
        "cadence": lab.HOUR,
        "lead_times": LEADS,
        "attrs": {"title": "forecasts"},
    } | changes
    return ForecastArchive.create(path, **wanted)


def forecasts(count, offset=0.0):
    """(count, 3, 2, 3): a different value in every cell."""
    return (270 + offset + np.arange(count * 18) / 8).reshape(count, 3, 2, 3).astype(np.float32)


@pytest.fixture
def archive(tmp_path, lab) -> ForecastArchive:
    return create(lab, tmp_path / "forecasts" / "ridge.zarr")


@pytest.fixture
def inits(lab):
    return lambda *slots: lab.START + np.array(slots) * lab.HOUR


def publish(archive, init_times, values, version="ridge-1", status=Status.FINAL, **options):
    statuses = np.full(len(init_times), status, np.int8)
    return archive.publish(
        init_times, values, model_version=version, analysis_status=statuses, **options
    )


def test_plain_xarray_opens_it_decoded_and_without_a_warning(archive, inits):
    publish(archive, inits(1, 2), forecasts(2), status=Status.PRELIMINARY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(archive.path, chunks=None).load()
    assert dataset["t2m"].dims == ("init_time", "lead_time", "latitude", "longitude")
    assert dataset["lead_time"].values.tolist() == LEADS.tolist()
    assert dataset["init_time"].values.tolist() == inits(0, 1, 2).tolist()
    assert dataset["valid_time"].dims == ("init_time", "lead_time")
    assert (dataset["valid_time"] == dataset["init_time"] + dataset["lead_time"]).all()
    assert dataset["model_version"].values.tolist() == ["", "ridge-1", "ridge-1"]
    assert dataset["analysis_status"].values.tolist() == [0, 1, 1]
    assert dataset["expected_leads"].values.tolist() == [3, 3, 3]
    assert dataset["written_leads"].values.tolist() == [0, 3, 3]
    assert np.isnan(dataset["t2m"].values[0]).all()
    assert (dataset["t2m"].values[1:] == forecasts(2)).all()
    assert {"valid_time", "model_version", "written_leads"} <= set(dataset["t2m"].coords)
    assert dataset["t2m"].encoding["chunks"] == (1, 3, 2, 3)


def test_it_is_cf_correct(archive, inits, cf_faults):
    publish(archive, inits(0, 2), forecasts(2))
    assert cf_faults(archive.dataset()) == []


def test_reading_gives_nan_and_no_version_where_there_is_no_forecast(archive, inits):
    publish(archive, inits(1, 4), forecasts(2))
    asked = inits(4, 3, -2, 1, 90)
    values = archive.read(asked)
    assert (values[0] == forecasts(2)[1]).all()
    assert (values[3] == forecasts(2)[0]).all()
    assert np.isnan(values[[1, 2, 4]]).all()
    assert archive.model_versions(asked) == ["ridge-1", "", "", "ridge-1", ""]
    assert archive.analysis_status_at(asked).tolist() == [2, 0, 0, 2, 0]
    assert archive.written().tolist() == inits(1, 4).tolist()
    assert archive.init_times.size == 5


def test_a_written_forecast_is_kept_until_it_is_withdrawn(archive, inits, objects):
    assert publish(archive, inits(0, 1), forecasts(2)) == 2
    before = objects(archive.path)
    assert publish(archive, inits(0, 1), forecasts(2, 5.0), "ridge-2") == 0
    assert objects(archive.path) == before
    archive.withdraw(inits(1))
    assert archive.written().tolist() == inits(0).tolist()
    assert np.isnan(archive.read(inits(1))).all()
    assert archive.model_versions(inits(0, 1)) == ["ridge-1", ""]
    assert publish(archive, inits(1, 2), forecasts(2, 5.0), "ridge-2") == 2
    assert archive.model_versions(inits(0, 1, 2)) == ["ridge-1", "ridge-2", "ridge-2"]
    assert (archive.read(inits(1, 2)) == forecasts(2, 5.0)).all()
    assert (archive.read(inits(0)) == forecasts(1)).all()


def test_a_withdrawal_that_fails_leaves_no_version_vouching_for_another_ones_field(
    archive, inits, monkeypatch
):
    publish(archive, inits(0, 1), forecasts(2))
    put = LocalStore.set

    async def put_or_refuse(self, key, value):
        if key.startswith("model_version/c/"):
            raise OSError(28, "No space left on device", key)
        await put(self, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "set", put_or_refuse)
        with pytest.raises(StorageError):
            archive.withdraw(inits(1))
    assert archive.written().tolist() == inits(0).tolist()
    assert publish(archive, inits(1), forecasts(1, 5.0), "ridge-2") == 1
    assert archive.model_versions(inits(0, 1)) == ["ridge-1", "ridge-2"]


def test_any_order_gives_the_same_bytes(archive, tmp_path, lab, inits, objects):
    publish(archive, inits(0, 3, 7), forecasts(3))
    other = create(lab, tmp_path / "other" / "ridge.zarr")
    publish(other, inits(7), forecasts(3)[2:] + 1, "ridge-0")
    publish(other, inits(3), forecasts(3)[1:2])
    other.withdraw(inits(7))
    publish(other, inits(0, 7), forecasts(3)[[0, 2]])
    assert objects(other.path) == objects(archive.path)


@pytest.mark.parametrize(
    ("values", "init_slots", "words"),
    [
        (forecasts(1)[:, :2], [0], r"shape \(1, 3, 2, 3\), found \(1, 2, 2, 3\)"),
        (forecasts(1) * np.nan, [0], "finite"),
        (forecasts(2), [1, 0], "ascending"),
        (forecasts(1), [-1], "start of this archive"),
    ],
)
def test_forecasts_that_do_not_fit_are_refused_whole(
    archive, inits, objects, values, init_slots, words
):
    before = objects(archive.path)
    with pytest.raises(ArchiveError, match=words):
        publish(archive, inits(*init_slots), values)
    assert objects(archive.path) == before


def test_an_archive_with_other_lead_times_or_cadence_is_not_continued(archive, lab):
    with pytest.raises(ArchiveError, match="lead times 1 h, 2 h, found 1 h, 2 h, 3 h"):
        create(lab, archive.path, lead_times=LEADS[:2])
    with pytest.raises(ArchiveError, match="cadence 6 h, found 1 h"):
        create(lab, archive.path, cadence=hours(6))


def test_a_missing_archive_says_where(tmp_path):
    with pytest.raises(ArchiveNotFoundError, match=r"ridge\.zarr"):
        ForecastArchive.open(tmp_path / "ridge.zarr")


def spread_out(values):
    """Ten ascending quantiles (n, 10, 3, 2, 3) around forecasts."""
    return (values[:, None] + np.linspace(-2, 2, 10)[None, :, None, None, None]).astype(np.float32)


def test_quantiles_lie_beside_the_forecast_and_change_nothing_for_who_reads_t2m(archive, inits):
    values = forecasts(4)
    publish(archive, inits(0, 1), values[:2])
    before = xr.open_zarr(archive.path, chunks=None).load()
    assert not archive.has_quantiles
    publish(archive, inits(2, 4), values[2:], "net-1", quantiles=spread_out(values[2:]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = xr.open_zarr(archive.path, chunks=None).load()
    new = ["t2m_quantile", "quantile", "written_quantiles"]
    xr.testing.assert_identical(after.drop_vars(new).isel(init_time=slice(2)), before)
    assert after["t2m"].dims == before["t2m"].dims
    quantiles = after["t2m_quantile"]
    assert quantiles.dims == ("init_time", "quantile", "lead_time", "latitude", "longitude")
    assert quantiles["quantile"].values.tolist() == pytest.approx(
        [q / 100 for q in range(5, 100, 10)]
    )
    assert quantiles.attrs["units"] == "K"
    assert after["written_quantiles"].values.tolist() == [0, 0, 10, 0, 10]
    assert np.isnan(quantiles.values[[0, 1, 3]]).all()
    np.testing.assert_array_equal(quantiles.values[[2, 4]], spread_out(values[2:]))
    np.testing.assert_array_equal(archive.read_quantiles(inits(4)), spread_out(values[3:]))


def test_a_later_forecast_without_quantiles_has_none(archive, inits):
    publish(archive, inits(0), forecasts(1), quantiles=spread_out(forecasts(1)))
    publish(archive, inits(1), forecasts(1), "ridge-2")
    assert np.isnan(archive.read_quantiles(inits(1))).all()
    assert np.isfinite(archive.read_quantiles(inits(0))).all()


def test_quantiles_are_withdrawn_with_their_forecast(archive, inits):
    publish(archive, inits(0, 1), forecasts(2), quantiles=spread_out(forecasts(2)))
    archive.withdraw(inits(0))
    assert np.isnan(archive.read_quantiles(inits(0))).all()
    assert archive.dataset()["written_quantiles"].values.tolist() == [0, 10]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda q: q[:, :9], "quantiles of shape"),
        (lambda q: q[:, ::-1], "quantiles that ascend"),
        (lambda q: np.full_like(q, np.inf), "finite values"),
    ],
)
def test_quantiles_that_are_none_are_refused_and_nothing_is_written(archive, inits, spoil, message):
    with pytest.raises(ArchiveError, match=message):
        publish(archive, inits(0), forecasts(1), quantiles=spoil(spread_out(forecasts(1))))
    assert archive.written().size == 0
    assert not archive.has_quantiles


@pytest.mark.parametrize("killed_at", range(6))
def test_a_killed_publish_never_claims_quantiles_that_are_not_there(
    archive, inits, monkeypatch, killed_at
):
    """The stages: fields, values by initial time, the seal, metadata, root."""
    values = forecasts(2)
    publish(archive, inits(0), values[:1])
    whole, stages = Staging._stages, itertools.count()

    def interrupted(self):
        for stage in whole(self):
            if next(stages) == killed_at:
                raise OSError(28, "No space left on device")
            yield stage

    with monkeypatch.context() as patch:
        patch.setattr(Staging, "_stages", interrupted)
        if killed_at < 5:
            with pytest.raises(StorageError, match="free space"):
                publish(archive, inits(1), values[1:], quantiles=spread_out(values[1:]))
        else:
            publish(archive, inits(1), values[1:], quantiles=spread_out(values[1:]))
    found = xr.open_zarr(archive.path, chunks=None).load()
    np.testing.assert_array_equal(found["t2m"].values[0], values[0])
    assert ("t2m_quantile" in found) == (killed_at == 5)
    publish(archive, inits(1), values[1:], quantiles=spread_out(values[1:]))
    np.testing.assert_array_equal(archive.read_quantiles(inits(1)), spread_out(values[1:]))
    assert archive.dataset()["written_quantiles"].values.tolist() == [0, 10]


def test_quantiles_are_cf_and_survive_netcdf(archive, inits, cf_faults, tmp_path):
    publish(archive, inits(0), forecasts(1), quantiles=spread_out(forecasts(1)))
    assert cf_faults(archive.dataset()) == []
    archive.dataset().load().to_netcdf(tmp_path / "copy.nc")
    with xr.open_dataset(tmp_path / "copy.nc") as copy:
        np.testing.assert_array_equal(copy["t2m_quantile"].values, spread_out(forecasts(1)))
