"""The evaluation archive: readable by anyone, repeatable, extensible, safe to interrupt."""

import dataclasses
import itertools

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.evaluation import (
    BELOW_SUM,
    CELL_SUMS,
    COUNT,
    ENSEMBLE_SUMS,
    FRAME_SUMS,
    INPUTS,
    MAP_COUNT,
    EvaluationArchive,
    ScoredFrames,
)
from lsntp.archives.staging import Staging
from lsntp.errors import ArchiveError, ArchiveNotFoundError, StorageError
from lsntp.grid import regular_grid
from lsntp.times import hours

GRID = regular_grid(north=50.0, south=48.0, west=0.0, east=3.0, spacing=1.0)
START = np.datetime64("2024-01-30T00", "ns")
LEADS = np.array([hours(6), hours(12)])
JANUARY, FEBRUARY = np.datetime64("2024-01", "M"), np.datetime64("2024-02", "M")


def create(path, **changes):
    settings = {
        "grid": GRID,
        "start": START,
        "cadence": hours(6),
        "lead_times": LEADS,
        "attrs": {"title": "scores"},
    } | changes
    return EvaluationArchive.create(path, **settings)


def frames(slots, value=1.0, inputs=7, is_scored=None):
    n = len(slots)
    scored = np.ones((n, 2), bool) if is_scored is None else np.asarray(is_scored)
    sums = {name: np.full((n, 2), value) for name in FRAME_SUMS}
    return ScoredFrames(
        init_times=START + np.asarray(slots) * hours(6),
        is_scored=scored,
        sums=sums | {COUNT: np.full((n, 2), 12)},
        truth_status=np.full((n, 2), 2, np.int8),
        inputs=np.full((n, 2), inputs),
        model_version=["ridge-0123456789ab"] * n,
    )


def maps(value=1.0, count=3):
    cells = {name: np.full((2, *GRID.shape), value) for name in CELL_SUMS}
    return cells | {MAP_COUNT: np.full(2, count)}


def test_a_plain_reader_finds_regular_axes_and_nan_where_nothing_was_scored(tmp_path):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([3, 9]), {JANUARY: maps(), FEBRUARY: maps(2.0, count=4)})
    with xr.open_zarr(tmp_path / "d.zarr", chunks=None) as data:
        assert dict(data.sizes) == {
            "model": 1,
            "init_time": 10,
            "lead_time": 2,
            "month": 2,
            "latitude": 3,
            "longitude": 4,
        }
        assert (data.init_time.values == START + np.arange(10) * hours(6)).all()
        assert data.month.values.astype("datetime64[D]").tolist() == [
            JANUARY.astype("datetime64[D]").item(),
            FEBRUARY.astype("datetime64[D]").item(),
        ]
        assert data.lead_time.values.tolist() == LEADS.tolist()
        ridge = data.sel(model="ridge")
        assert ridge[COUNT].values[:, 0].tolist() == [0, 0, 0, 12, 0, 0, 0, 0, 0, 12]
        for name in set(FRAME_SUMS) - {COUNT}:
            values = ridge[name].values
            assert np.isnan(values[[0, 1, 2, 4, 5, 6, 7, 8]]).all()
            assert (values[[3, 9]] == 1.0).all()
        assert ridge["map_count"].values.tolist() == [[3, 3], [4, 4]]
        assert (ridge["map_error_sum"].sel(month="2024-02-01") == 2.0).all()
        assert ridge["model_version"].values[[2, 3]].tolist() == ["", "ridge-0123456789ab"]
        assert data.attrs["Conventions"] == "CF-1.11"


def test_it_is_cf_correct(tmp_path, cf_faults):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([3, 9]), {JANUARY: maps(), FEBRUARY: maps()})
    assert cf_faults(archive.dataset()) == []


def test_models_are_appended_without_touching_the_others(tmp_path):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([0, 1]), {JANUARY: maps()})
    before = archive.dataset().sel(model="ridge").load()
    archive.publish("lsntp", frames([4], value=5.0), {JANUARY: maps(5.0)})
    assert archive.models == ("ridge", "lsntp")
    after = archive.dataset().load()
    xr.testing.assert_equal(
        before,
        after.sel(model="ridge")
        .isel(init_time=slice(0, 2))
        .drop_attrs(deep=False)
        .assign_attrs(before.attrs),
    )
    assert after.sel(model="lsntp")["error_sum"].values[:, 0].tolist()[4] == 5.0
    assert np.isnan(after.sel(model="ridge")["error_sum"].values[2:]).all()


def test_a_partial_publish_keeps_what_is_stored_of_the_other_leads(tmp_path):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([2], 1.0, 7, [[True, False]]), {JANUARY: maps()})
    archive.publish("ridge", frames([2], 9.0, 8, [[False, True]]), {JANUARY: maps()})
    row = archive.dataset().sel(model="ridge").isel(init_time=2).load()
    assert row["error_sum"].values.tolist() == [1.0, 9.0]
    assert row[INPUTS].values.tolist() == [7, 8]


def test_publishing_twice_is_the_same_as_once(tmp_path):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([1]), {JANUARY: maps()})
    objects = {p: p.read_bytes() for p in (tmp_path / "d.zarr").rglob("*") if p.is_file()}
    archive.publish("ridge", frames([1]), {JANUARY: maps()})
    assert objects == {p: p.read_bytes() for p in (tmp_path / "d.zarr").rglob("*") if p.is_file()}


def test_inputs_are_zero_where_nothing_was_scored(tmp_path):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([1]), {JANUARY: maps()})
    asked = START + np.array([0, 1, 50]) * hours(6)
    assert archive.inputs_at("ridge", asked).tolist() == [[0, 0], [7, 7], [0, 0]]
    assert not archive.inputs_at("nobody", asked).any()


@pytest.mark.parametrize("killed_at", [3, 4, 7, 8, 10, 11, 12])
def test_a_killed_publish_never_counts_as_scored_and_the_rerun_completes(
    tmp_path, monkeypatch, killed_at
):
    """Stop after a number of stages: what is marked as scored must have its sums and maps."""
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([0, 1]), {JANUARY: maps(1.0, count=2)})
    whole = Staging._stages

    stages_put = itertools.count()

    def interrupted(self):  # 7 stages withdraw what is replaced, 7 more publish
        for stage in whole(self):
            if next(stages_put) == killed_at:
                raise OSError(28, "No space left on device")
            yield stage

    monkeypatch.setattr(Staging, "_stages", interrupted)
    later = frames([1, 2, 3], value=4.0, inputs=8)
    with pytest.raises(StorageError, match="free space"):
        archive.publish("ridge", later, {JANUARY: maps(4.0, count=4)})
    with xr.open_zarr(archive.path, chunks=None) as data:
        ridge = data.sel(model="ridge").load()
    for slot, inputs in enumerate(ridge[INPUTS].values[:, 0]):
        if inputs:
            assert ridge[COUNT].values[slot, 0] == 12
            assert ridge["error_sum"].values[slot, 0] == {7: 1.0, 8: 4.0}[int(inputs)]
        if inputs == 8:
            assert (ridge["map_error_sum"].values[0] == 4.0).all()
    monkeypatch.setattr(Staging, "_stages", whole)
    archive.publish("ridge", later, {JANUARY: maps(4.0, count=4)})
    undisturbed = create(tmp_path / "other.zarr")
    undisturbed.publish("ridge", frames([0, 1]), {JANUARY: maps(1.0, count=2)})
    undisturbed.publish("ridge", later, {JANUARY: maps(4.0, count=4)})
    xr.testing.assert_identical(archive.dataset().load(), undisturbed.dataset().load())


def test_sums_that_come_later_are_new_arrays_and_change_nothing_that_is_there(tmp_path):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([0, 1]), {JANUARY: maps()})
    archive.publish("lsntp", frames([1]), {JANUARY: maps()})
    before = archive.dataset().load()
    stored = {p: p.read_bytes() for p in (tmp_path / "d.zarr").rglob("*/c/*") if p.is_file()}
    assert not set(ENSEMBLE_SUMS) & set(before.data_vars)

    ensemble = frames([1])
    crps = {name: np.full((1, 2), 0.5) for name in ENSEMBLE_SUMS}
    crps[BELOW_SUM] = np.full((1, 2, 10), 0.5)
    ensemble = dataclasses.replace(ensemble, sums={**ensemble.sums, **crps})
    create(tmp_path / "d.zarr")
    archive.publish("ensemble", ensemble, {JANUARY: maps()})
    after = archive.dataset().load()
    xr.testing.assert_identical(
        before, after.drop_vars([*ENSEMBLE_SUMS, "quantile"]).sel(model=["ridge", "lsntp"])
    )
    for name in ENSEMBLE_SUMS:
        values = after[name]
        sizes = {**before["error_sum"].sizes, "model": 3}
        assert dict(values.sizes) == sizes | ({"quantile": 10} if name == BELOW_SUM else {})
        assert np.isnan(values.values[:2]).all()
        assert (values.sel(model="ensemble").values[1, 0] == 0.5).all()
        assert np.isnan(values.values[2, 0]).all()
    assert all(
        path.read_bytes() == content
        for path, content in stored.items()
        if "/error_sum/" in str(path) and "/c/2/" not in str(path)
    )

    # a later forecast without members has none, even where the extent grows
    archive.publish("ridge", frames([0, 5]), {JANUARY: maps(), FEBRUARY: maps()})
    assert np.isnan(archive.dataset()["crps_sum"].sel(model="ridge").values).all()
    assert archive.dataset()["crps_sum"].shape == (3, 6, 2)


def test_a_sum_that_every_archive_is_to_have_is_added_at_full_extent(tmp_path, monkeypatch):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([0, 3]), {JANUARY: maps()})
    monkeypatch.setitem(FRAME_SUMS, "cubed_error_sum", ("sum of the cubed error", "K3"))
    again = create(tmp_path / "d.zarr")
    with again.dataset() as data:
        assert data["cubed_error_sum"].shape == (1, 4, 2)
        assert np.isnan(data["cubed_error_sum"].values).all()
    again.publish("lsntp", frames([5], value=2.0), {JANUARY: maps(), FEBRUARY: maps()})
    with again.dataset() as data:
        assert data["cubed_error_sum"].shape == data["error_sum"].shape == (2, 6, 2)
        assert data["cubed_error_sum"].values[1, 5].tolist() == [2.0, 2.0]


def test_a_score_can_be_taken_back(tmp_path):
    archive = create(tmp_path / "d.zarr")
    archive.publish("ridge", frames([0, 1]), {JANUARY: maps()})
    nothing = dataclasses.replace(
        frames([1], value=np.nan, inputs=0),
        truth_status=np.zeros((1, 2), np.int8),
        model_version=[""],
    )
    nothing = dataclasses.replace(nothing, sums=nothing.sums | {COUNT: np.zeros((1, 2), int)})
    archive.publish("ridge", nothing, {JANUARY: maps(count=1)})
    assert (archive.scored("ridge") == np.array([START])).all()
    assert archive.scored("nobody").size == 0
    ridge = archive.dataset().sel(model="ridge").load()
    assert ridge[COUNT].values.tolist() == [[12, 12], [0, 0]]
    assert np.isnan(ridge["error_sum"].values[1]).all()


def test_frames_without_their_months_maps_are_refused(tmp_path):
    archive = create(tmp_path / "d.zarr")
    with pytest.raises(ArchiveError, match="every month touched"):
        archive.publish("ridge", frames([1, 9]), {JANUARY: maps()})
    assert archive.models == ()


def test_an_archive_of_other_leads_or_grid_is_refused(tmp_path):
    create(tmp_path / "d.zarr")
    other = regular_grid(north=50.0, south=49.0, west=0.0, east=3.0, spacing=1.0)
    with pytest.raises(ArchiveError, match=r"lead times 6 h, found 6 h, 12 h"):
        create(tmp_path / "d.zarr", lead_times=LEADS[:1])
    with pytest.raises(ArchiveError, match="grid 2 x 4"):
        create(tmp_path / "d.zarr", grid=other)


def test_a_missing_archive_is_said_to_be_missing(tmp_path):
    with pytest.raises(ArchiveNotFoundError):
        EvaluationArchive.open(tmp_path / "none.zarr")
