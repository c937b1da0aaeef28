"""Rescoring: whatever order truth, forecasts and evaluations come in, the archive is the same."""

import shutil

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lsntp.archives.evaluation import EvaluationArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.evaluation.scoring import FrameCounts, evaluate
from lsntp.names import Status

ERRORS = {"ridge": 1.0, "lsntp": -2.0}
PRELIMINARY = range(44, 56)
"""Slots of 31 January to 2 February: both months have frames of either kind of truth."""
INIT = range(43, 54)


def stored(world):
    """Scores in memory, models by name: their order on the axis is that of first scoring."""
    return EvaluationArchive.open(world.workspace.evaluation).dataset().load().sortby("model")


def slots(of):
    return st.sets(st.sampled_from(list(of)), min_size=1).map(sorted)


models = st.sampled_from(sorted(ERRORS))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("final"), slots(PRELIMINARY)),
        st.tuples(st.just("forecast"), models, slots(INIT)),
        st.tuples(st.just("withdraw"), models, slots(INIT)),
        st.tuples(st.just("evaluate"), st.none() | models),
        st.just(("evaluate", None)),
    ),
    min_size=2,
    max_size=6,
)


def take(world, step):
    """One thing that may happen to a domain, whatever happened before."""
    kind, *what = step
    folder = world.workspace.forecasts
    there = sorted(path.stem for path in folder.glob("*.zarr")) if folder.exists() else []
    if kind == "final":
        world.ingest(world.times[what[0]], Status.FINAL)
    elif kind == "forecast":
        world.forecast(what[0], world.times[what[1]], ERRORS[what[0]])
    elif kind == "withdraw" and what[0] in there:
        archive = ForecastArchive.open(world.workspace.forecast(what[0]))
        archive.withdraw(np.intersect1d(archive.written(), world.times[what[1]]))
    elif kind == "evaluate" and there:
        evaluate(world.domain, models=[what[0]] if what[0] in there else None)


def check_history(world, history):
    """After any history: once everything is there, the archive is that of scoring once."""
    for step in history:
        take(world, step)
    world.ingest(world.times[PRELIMINARY], Status.FINAL)
    for model, error in ERRORS.items():
        world.forecast(model, world.times[INIT], error)
    evaluate(world.domain)
    found = stored(world)
    assert evaluate(world.domain).did_nothing
    shutil.rmtree(world.workspace.root / "evaluations")
    evaluate(world.domain)
    xr.testing.assert_identical(found, stored(world))
    # and that one is right: of the 11 init_times, slots 43 to 47 lie in January
    january = found.sel(model="ridge", month="2024-01-01")
    assert january["map_count"].values.tolist() == [5, 5]
    np.testing.assert_allclose(january["map_error_sum"], 5.0, rtol=1e-4)
    assert int((found["truth_status"] == Status.FINAL).sum()) == 2 * 11 * 2


def fresh(preliminary_once, tmp_path_factory):
    return preliminary_once.copy(tmp_path_factory.mktemp("history"))


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps)
@example(  # slot 47 is away while January's maps are made again, and comes back as it was
    history=[
        ("final", list(PRELIMINARY)),
        ("forecast", "ridge", [slot for slot in INIT if slot != 45]),
        ("evaluate", None),
        ("withdraw", "ridge", [47]),
        ("forecast", "ridge", [45]),
        ("evaluate", None),
    ]
)
def test_any_history_ends_as_if_scored_once(preliminary_once, tmp_path_factory, history):
    check_history(fresh(preliminary_once, tmp_path_factory), history)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps)
def test_many_histories_end_as_if_scored_once(preliminary_once, tmp_path_factory, history):
    check_history(fresh(preliminary_once, tmp_path_factory), history)


def test_the_score_of_a_withdrawn_forecast_is_taken_back(prepared):
    prepared.forecast("ridge", prepared.times[46:50], 2.0)
    evaluate(prepared.domain)
    archive = ForecastArchive.open(prepared.workspace.forecast("ridge"))
    archive.withdraw(prepared.times[47:49])
    # slot 47 starts on 31 January, slot 48 on 1 February; two leads each
    assert evaluate(prepared.domain).models == {"ridge": FrameCounts(0, 4, 0, dropped=4)}
    ridge = stored(prepared).sel(model="ridge")
    assert ridge["count"].values[46:50, 0].tolist() == [64, 0, 0, 64]
    assert np.isnan(ridge["error_sum"].values[47:49]).all()
    assert ridge["model_version"].values[47] == ""
    assert ridge["map_count"].values.tolist() == [[1, 1], [1, 1]]
    np.testing.assert_allclose(ridge["map_error_sum"], 2.0, rtol=1e-4)
    assert evaluate(prepared.domain).did_nothing
    prepared.forecast("ridge", prepared.times[46:50], 2.0)
    assert evaluate(prepared.domain).models == {"ridge": FrameCounts(4, 4, 0)}
