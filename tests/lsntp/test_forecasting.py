import numpy as np
import pytest
import xarray as xr

from lsntp import forecasting
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.errors import ArchiveNotFoundError, ModelError, StorageError
from lsntp.forecasting import forecast
from lsntp.names import Status
from lsntp.times import Period
from lsntp.training import latest_version, train
from lsntp.training.champion import champion_path, promote
from lsntp.workspace import Workspace


def archive_of(domain, model="persistence"):
    return ForecastArchive.open(Workspace.of(domain).forecast(model))


def hour(domain, number):
    return domain.start + number * domain.cadence


def content(path):
    return {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_every_initial_time_with_a_complete_history_is_forecast(trained):
    period = Period.parse("2021-01-01", "2021-01-03")
    reports = {report.model: report for report in forecast(trained, period=period)}
    assert list(reports) == list(trained.model_names)
    # 48 hours from the start of the archive; the network needs three hours before the initial
    # time. With leads of 1 to 3 h, yesterday's same hour lies as far back as t - 23 h; its
    # increment and the ridge need t - 24 h.
    expected = {
        "persistence": 0,
        "diurnal-persistence": 23,
        "climatology": 0,
        "persistence-climatological-increment": 0,
        "persistence-diurnal-increment": 24,
        "ridge": 24,
        "net": 3,
    }
    for model, lacking in expected.items():
        report = reports[model]
        assert (report.incomplete, report.already) == (lacking, 0)
        assert report.written.size == 48 - lacking
        np.testing.assert_array_equal(archive_of(trained, model).written(), report.written)


def test_anyone_can_open_the_archive(trained):
    forecast(trained, models=["persistence"], period=Period.parse("2021-01-14", "2021-01-15"))
    analysis = AnalysisArchive.open(Workspace.of(trained).analysis)
    with xr.open_zarr(Workspace.of(trained).forecast("persistence"), chunks=None) as dataset:
        chosen = dataset.t2m.sel(init_time="2021-01-14T06", lead_time=np.timedelta64(2, "h"))
        np.testing.assert_array_equal(
            chosen, analysis.read(np.array(["2021-01-14T06"], "datetime64[ns]"))[0]
        )
        assert dataset.attrs["model"] == "persistence"
        assert dataset.attrs["synthetic"] == "true"
        assert "synthetic" in dataset.attrs["title"]
        assert "cadence_h" in dataset.attrs["lsntp_configuration"]


def test_forecasts_name_the_version_that_made_them(trained):
    (report,) = forecast(trained, models=["ridge"], latest=True)
    assert archive_of(trained, "ridge").model_versions(report.written) == [report.version]
    assert report.version == latest_version(Workspace.of(trained).models, "ridge").version


def test_persistence_of_a_constant_field_is_constant(trained, publish):
    publish(trained, np.full((5, 6, 8), 285.25, np.float32), first=360)
    (report,) = forecast(trained, models=["persistence"], latest=True)
    assert list(report.written) == [hour(trained, 364)]
    assert (archive_of(trained).read(report.written) == 285.25).all()


def test_forecasting_again_writes_nothing(trained):
    path = Workspace.of(trained).forecasts
    period = Period.parse("2021-01-01", "2021-01-02")
    forecast(trained, models=["persistence", "net"], period=period)
    before = content(path)
    reports = forecast(trained, models=["persistence", "net"], period=period)
    assert [report.written.size for report in reports] == [0, 0]
    assert [report.already for report in reports] == [24, 21]
    assert content(path) == before


def test_an_interrupted_run_is_completed_to_the_same_archive(trained, monkeypatch):
    period = Period.parse("2021-01-12", "2021-01-13")
    forecast(trained, models=["ridge"], period=period)
    undisturbed = archive_of(trained, "ridge").read(archive_of(trained, "ridge").written())

    path = Workspace.of(trained).forecast("ridge")
    path.rename(path.with_name("aside.zarr"))
    monkeypatch.setattr(forecasting, "BATCH", 8)
    predict, calls = forecasting._predict, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(forecasting, "_predict", dying)
        with pytest.raises(KeyboardInterrupt):
            forecast(trained, models=["ridge"], period=period)
    (report,) = forecast(trained, models=["ridge"], period=period)
    assert (report.already, report.written.size) == (16, 8)
    repaired = archive_of(trained, "ridge")
    np.testing.assert_array_equal(repaired.read(repaired.written()), undisturbed)


def test_a_new_hour_brings_one_new_forecast(trained, publish, make_fields):
    period = Period(hour(trained, 350), hour(trained, 400))
    forecast(trained, models=["persistence"], period=period)
    publish(trained, make_fields(trained, 361)[360:], first=360)
    (report,) = forecast(trained, models=["persistence"], period=period)
    assert list(report.written) == [hour(trained, 360)]
    assert report.already == 10


def test_latest_is_the_newest_complete_history_alone(trained):
    (report,) = forecast(trained, models=["net"], latest=True)
    assert list(report.written) == [hour(trained, 359)]
    assert list(archive_of(trained, "net").written()) == [hour(trained, 359)]
    (again,) = forecast(trained, models=["net"], latest=True)
    assert (again.written.size, again.already) == (0, 1)


def test_latest_passes_over_a_quarantined_hour(trained):
    analysis = AnalysisArchive.open(Workspace.of(trained).analysis)
    analysis.mark(np.array([hour(trained, 360)]), Status.QUARANTINED)
    (report,) = forecast(trained, models=["persistence"], latest=True)
    assert list(report.written) == [hour(trained, 359)]
    assert report.incomplete == 1


def test_a_period_limits_the_initial_times(trained):
    period = Period.parse("2021-01-12", "2021-01-13")
    (report,) = forecast(trained, models=["ridge"], period=period)
    assert report.written.size == 24
    assert period.contains(archive_of(trained, "ridge").written()).all()


def test_a_hole_in_the_history_leaves_its_initial_times_out(trained, publish, make_fields):
    # 360 and 361 never came; with a history of four hours 362 to 364 miss one of them
    publish(trained, make_fields(trained, 370)[362:], first=362)
    period = Period(hour(trained, 355), hour(trained, 370))
    reports = forecast(trained, models=["persistence", "net"], period=period)
    assert [report.incomplete for report in reports] == [2, 5]
    lacking = [hour(trained, number) for number in range(360, 365)]
    archive = archive_of(trained, "net")
    assert not np.isin(lacking, archive.written()).any()
    assert np.isnan(archive.read(np.array(lacking))).all()


def test_a_preliminary_input_marks_the_forecast(trained, publish, make_fields):
    publish(trained, make_fields(trained, 361)[360:], first=360, status=Status.PRELIMINARY)
    publish(trained, make_fields(trained, 366)[361:], first=361)
    period = Period(hour(trained, 359), hour(trained, 366))
    forecast(trained, models=["net"], period=period)
    init_times = hour(trained, 359) + np.arange(7) * trained.cadence
    status = archive_of(trained, "net").analysis_status_at(init_times)
    assert status.tolist() == [2, 1, 1, 1, 1, 2, 2]


def test_a_named_model_without_version_is_refused(ingested):
    with pytest.raises(ModelError, match=r"trained version of ridge.*run `lsntp train`"):
        forecast(ingested, models=["ridge"])
    with pytest.raises(ModelError, match=r"persistence, .*net.*run `lsntp train`"):
        forecast(ingested)
    assert not Workspace.of(ingested).forecasts.exists()


def test_models_without_version_wait_while_the_others_go_on(ingested, caplog):
    train(ingested, models=["persistence"])
    (report,) = forecast(ingested, latest=True)
    assert report.model == "persistence"
    assert "No version yet of" in caplog.text
    assert "net" in caplog.text


def test_without_analyses_there_is_nothing_to_forecast_from(trained):
    analysis = Workspace.of(trained).analysis
    analysis.rename(analysis.with_name("gone.zarr"))
    with pytest.raises(ArchiveNotFoundError):
        forecast(trained)


def test_values_that_are_not_finite_are_never_published(trained, monkeypatch):
    class Broken:
        name, offsets = "net", (0,)

        def forecast(self, history, init_times):
            return np.full((init_times.size, 3, 6, 8), np.inf, np.float32)

    monkeypatch.setattr(forecasting, "load_forecaster", lambda *_: Broken())
    with pytest.raises(ModelError, match=r"Expected finite forecasts from net-.*2021-01-15T23:00Z"):
        forecast(trained, models=["net"], latest=True)
    assert not Workspace.of(trained).forecasts.exists()


def test_a_model_of_another_grid_is_refused_and_nothing_changes(trained):
    other = trained.model_copy(update={"history": 5})
    with pytest.raises(ModelError, match="history 5, found 4"):
        forecast(other, models=["net"])
    assert not Workspace.of(trained).forecasts.exists()


def test_new_forecasts_come_from_the_newest_version(trained):
    period = Period.parse("2021-01-12", "2021-01-13")
    forecast(trained, models=["ridge"], period=period)
    (retrained,) = train(trained, models=["ridge"], force=True)
    forecast(trained, models=["ridge"], latest=True)
    versions = archive_of(trained, "ridge").model_versions(
        np.array([period.start, hour(trained, 359)])
    )
    assert versions[1] == retrained.version != versions[0]
    (again,) = forecast(trained, models=["ridge"], period=Period.parse("2021-01-12", "2021-01-16"))
    assert (len(again.written), again.already, again.older) == (71, 25, 24)


# --- the champion ----------------------------------------------------------------------------


def choose(domain, model):
    version = latest_version(Workspace.of(domain).models, model).version
    promote(domain, version, by="test", reason="test")
    return version


def test_the_champion_has_the_archive_that_users_read(trained):
    version = choose(trained, "ridge")
    period = Period.parse("2021-01-12", "2021-01-13")
    reports = {report.model: report for report in forecast(trained, period=period)}
    assert list(reports) == ["champion", *trained.model_names]
    assert reports["champion"].version == version
    champion, ridge = archive_of(trained, "champion"), archive_of(trained, "ridge")
    written = champion.written()
    np.testing.assert_array_equal(written, ridge.written())
    np.testing.assert_array_equal(champion.read(written), ridge.read(written))
    assert set(champion.model_versions(written)) == {version}
    with xr.open_zarr(Workspace.of(trained).forecast("champion"), chunks=None) as dataset:
        assert dataset.attrs["model"] == "champion"


def test_after_a_promotion_new_forecasts_name_the_new_version_and_old_ones_stay(trained):
    period = Period(hour(trained, 340), hour(trained, 350))
    first = choose(trained, "persistence")
    forecast(trained, models=["champion"], period=period)
    before = archive_of(trained, "champion").read(archive_of(trained, "champion").written())
    second = choose(trained, "climatology")
    longer = Period(hour(trained, 340), hour(trained, 355))
    (report,) = forecast(trained, models=["champion"], period=longer)
    assert (report.already, report.older, report.written.size) == (10, 10, 5)
    archive = archive_of(trained, "champion")
    written = archive.written()
    assert archive.model_versions(written) == [first] * 10 + [second] * 5
    np.testing.assert_array_equal(archive.read(written[:10]), before)


def test_a_run_that_began_before_a_promotion_finishes_with_the_old_champion(trained, monkeypatch):
    old = choose(trained, "persistence")
    monkeypatch.setattr(forecasting, "BATCH", 8)
    predict, calls = forecasting._predict, []

    def promoting(*arguments):
        if not calls:
            calls.append(choose(trained, "climatology"))
        return predict(*arguments)

    monkeypatch.setattr(forecasting, "_predict", promoting)
    period = Period.parse("2021-01-12", "2021-01-13")
    (report,) = forecast(trained, models=["champion"], period=period)
    archive = archive_of(trained, "champion")
    assert report.written.size == 24  # three batches, the promotion before the first was forecast
    assert archive.model_versions(report.written) == [old] * 24
    (after,) = forecast(trained, models=["champion"], latest=True)
    assert archive_of(trained, "champion").model_versions(after.written) == calls


def test_a_damaged_model_is_not_in_the_champions_way(trained):
    choose(trained, "persistence")
    folder = Workspace.of(trained).models
    for model in ("climatology", "net"):
        (latest_version(folder, model).path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="SHA-256"):
        forecast(trained, latest=True)
    assert list(archive_of(trained, "champion").written()) == [hour(trained, 359)]


def test_a_damaged_champion_stops_nobody_else(trained):
    choose(trained, "ridge")
    champion_path(trained).write_text("{}")
    with pytest.raises(ModelError, match=r"readable .*champion\.json"):
        forecast(trained, latest=True)
    for model in trained.model_names:
        assert list(archive_of(trained, model).written()) == [hour(trained, 359)]
    assert not Workspace.of(trained).forecast("champion").exists()


def test_what_failed_is_named_at_the_end_and_all_else_is_forecast(trained):
    folder = Workspace.of(trained).models
    for model in ("persistence", "net"):
        (latest_version(folder, model).path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        forecast(trained, latest=True)
    assert "found none of persistence, net" in str(caught.value)
    assert str(caught.value).count("SHA-256") >= 2
    for model in set(trained.model_names) - {"persistence", "net"}:
        assert list(archive_of(trained, model).written()) == [hour(trained, 359)]


def test_failures_of_several_kinds_are_one_model_error(trained, monkeypatch):
    folder = Workspace.of(trained).models
    (latest_version(folder, "persistence").path / "model.safetensors").write_bytes(b"")
    predict = forecasting._predict

    def full(forecaster, *rest):
        if forecaster.name == "ridge":
            raise StorageError("no space")
        return predict(forecaster, *rest)

    monkeypatch.setattr(forecasting, "_predict", full)
    with pytest.raises(ModelError, match=r"(?s)of persistence: .*SHA-256.*of ridge: no space"):
        forecast(trained, latest=True)


def test_named_models_stop_at_the_first_that_fails(trained):
    folder = Workspace.of(trained).models
    (latest_version(folder, "ridge").path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="SHA-256"):
        forecast(trained, models=["ridge", "net"], latest=True)
    assert not Workspace.of(trained).forecasts.exists()


def test_a_remake_that_fails_loses_no_stored_forecast(trained, publish, make_fields):
    fields = make_fields(trained, 366)[360:]
    publish(trained, fields, first=360, status=Status.PRELIMINARY)
    period = Period(hour(trained, 360), hour(trained, 366))
    forecast(trained, models=["net"], period=period)
    archive = archive_of(trained, "net")
    before = archive.read(archive.written())
    publish(trained, fields, first=360)

    class Broken:
        name, offsets = "net", (0,)

        def forecast(self, history, init_times):
            return np.full((init_times.size, 3, 6, 8), np.inf, np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecasting, "load_forecaster", lambda *_: Broken())
        with pytest.raises(ModelError, match="Expected finite"):
            forecast(trained, models=["net"], period=period, redo_superseded=True)
    archive = archive_of(trained, "net")
    np.testing.assert_array_equal(archive.read(archive.written()), before)
    assert set(archive.analysis_status_at(archive.written())) == {Status.PRELIMINARY}

    (report,) = forecast(trained, models=["net"], period=period, redo_superseded=True)
    assert (report.written.size, report.already, report.superseded) == (6, 0, 0)
    archive = archive_of(trained, "net")
    assert set(archive.analysis_status_at(archive.written())) == {Status.FINAL}


def test_without_a_champion_the_models_are_forecast_and_it_is_said(trained, caplog):
    reports = forecast(trained, latest=True)
    assert [report.model for report in reports] == list(trained.model_names)
    assert "No version yet of champion" in caplog.text
    with pytest.raises(ModelError, match=r"trained version of champion.*lsntp train"):
        forecast(trained, models=["champion"])
