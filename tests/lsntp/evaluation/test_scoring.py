"""Scoring: what is due is scored once, and the result equals scoring everything once."""

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.evaluation import EvaluationArchive
from lsntp.errors import EvaluationError
from lsntp.evaluation.scoring import FrameCounts, evaluate
from lsntp.names import Status


def stored(world):
    return EvaluationArchive.open(world.workspace.evaluation).dataset().load()


def files(world):
    root = world.workspace.root / "evaluations"
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_every_frame_with_a_truth_is_scored_and_a_second_run_does_nothing(prepared):
    # the analyses end at slot 55; forecasts from slots 40..55, leads 1 and 2 steps
    prepared.forecast("ridge", prepared.times[40:56], 1.0)
    first = evaluate(prepared.domain)
    assert first.models == {"ridge": FrameCounts(scored=29, already=0, waiting=3)}
    before = files(prepared)
    second = evaluate(prepared.domain)
    assert second.did_nothing
    assert second.models == {"ridge": FrameCounts(scored=0, already=29, waiting=3)}
    assert files(prepared) == before


def test_a_known_error_is_found_in_sums_and_maps(prepared):
    prepared.forecast("ridge", prepared.times[40:56], 2.0)
    evaluate(prepared.domain)
    with stored(prepared) as data:
        ridge = data.sel(model="ridge")
        mean = ridge["error_sum"] / ridge["count"].where(ridge["count"] > 0)
        assert np.isfinite(mean.values).sum() == 29
        np.testing.assert_allclose(mean.values[np.isfinite(mean.values)], 2.0, atol=1e-4)
        area = ridge["area_squared_error_sum"].sum() / ridge["count"].sum()
        assert area.item() == pytest.approx(4.0, rel=1e-4)
        # slots 40..47 start in January, 48..55 in February; lead 2 of 54 and both of 55 wait
        assert ridge["map_count"].values.tolist() == [[8, 8], [7, 6]]
        np.testing.assert_allclose(
            ridge["map_error_sum"].values[1],
            2.0 * np.array([7, 6])[:, None, None] * np.ones((8, 8)),
            rtol=1e-4,
        )
        assert set(np.unique(ridge["truth_status"])) == {Status.MISSING, Status.FINAL}
        assert ridge["model_version"].values[40] == "ridge-0123456789ab"
        assert float(data.attrs["data_range_k"]) > 5.0
        assert data.attrs["lsntp_configuration"] == prepared.domain.to_yaml()


def test_leads_are_scored_as_their_truth_arrives(prepared):
    prepared.forecast("ridge", prepared.times[50:58], 1.0)
    first = evaluate(prepared.domain)
    prepared.ingest(prepared.times[56:58])
    second = evaluate(prepared.domain)
    assert first.models["ridge"] == FrameCounts(scored=9, already=0, waiting=7)
    assert second.models["ridge"] == FrameCounts(scored=4, already=9, waiting=3)
    in_steps = stored(prepared)
    (prepared.workspace.root / "evaluations").rename(prepared.workspace.root / "aside")
    evaluate(prepared.domain)
    xr.testing.assert_identical(in_steps, stored(prepared))


def test_rescoring_with_the_final_truth_equals_scoring_once(world):
    world.ingest(world.times[:40])
    world.ingest(world.times[40:52], Status.PRELIMINARY, change=0.5)
    world.prepare()
    world.forecast("ridge", world.times[40:50], 1.0)
    world.forecast("lsntp", world.times[40:50], -1.0)
    evaluate(world.domain)
    preliminary = stored(world)
    np.testing.assert_allclose(
        preliminary.sel(model="ridge")["map_error_sum"],
        [np.full((2, 8, 8), 8 * 0.5), np.full((2, 8, 8), 2 * 0.5)],
        rtol=1e-3,
    )
    assert (preliminary["truth_status"].values[:, 40:50] == Status.PRELIMINARY).all()
    world.ingest(world.times[42:45], Status.FINAL)
    again = evaluate(world.domain)
    # frames valid at slots 42, 43 and 44: two leads each
    assert again.models == {
        "ridge": FrameCounts(scored=6, already=14, waiting=0),
        "lsntp": FrameCounts(scored=6, already=14, waiting=0),
    }
    rescored = stored(world)
    (world.workspace.root / "evaluations").rename(world.workspace.root / "aside")
    evaluate(world.domain)
    xr.testing.assert_identical(rescored, stored(world))
    frame = rescored.sel(model="ridge").isel(init_time=41, lead_time=0)
    assert (frame["error_sum"] / frame["count"]).item() == pytest.approx(1.0, abs=1e-3)
    assert frame["truth_status"].item() == Status.FINAL


def test_the_same_field_becoming_final_is_recorded(world):
    world.ingest(world.times[:40])
    world.ingest(world.times[40:44], Status.PRELIMINARY)
    world.prepare()
    world.forecast("ridge", world.times[40:42], 1.0)
    evaluate(world.domain)
    world.ingest(world.times[40:44], Status.FINAL)
    assert evaluate(world.domain).models["ridge"].scored == 4
    assert (stored(world)["truth_status"].values[0, 40:42] == Status.FINAL).all()


def test_a_forecast_of_another_version_is_scored_anew(prepared):
    prepared.forecast("ridge", prepared.times[40:44], 1.0)
    evaluate(prepared.domain)
    prepared.forecast("ridge", prepared.times[42:44], 3.0, version="ridge-ba9876543210")
    assert evaluate(prepared.domain).models["ridge"].scored == 4
    data = stored(prepared).sel(model="ridge")
    assert (data["error_sum"] / data["count"]).values[40:44, 0] == pytest.approx(
        [1, 1, 3, 3], abs=1e-3
    )
    assert data["model_version"].values[43] == "ridge-ba9876543210"


def test_a_new_climatology_makes_every_score_due(prepared):
    prepared.forecast("ridge", prepared.times[40:44], 1.0)
    evaluate(prepared.domain)
    longer = prepared.domain.split.model_dump(mode="json")
    longer["train"]["end"] = "2024-01-24"
    domain = prepared.domain.model_validate(
        prepared.domain.model_dump(mode="json") | {"split": longer}
    )
    type(prepared)(domain).prepare()
    assert evaluate(domain).models["ridge"].scored == 8


def test_a_scored_frame_has_the_anomalies_of_the_training_climatology(prepared):
    prepared.forecast("climatology", prepared.times[40:44], 0.0)
    evaluate(prepared.domain)
    frame = stored(prepared).isel(model=0, init_time=40, lead_time=0)
    valid = prepared.times[41]
    train = prepared.times[:20]
    same_hour = train[(train - valid) % np.timedelta64(24, "h") == np.timedelta64(0, "h")]
    normal = prepared.truth(same_hour).mean(axis=0)
    anomaly = prepared.truth(prepared.times[41:42])[0] - normal
    assert frame["truth_anomaly_square_sum"].item() == pytest.approx((anomaly**2).sum(), rel=1e-4)


def test_only_the_named_models_are_scored(prepared):
    for model in ("ridge", "lsntp"):
        prepared.forecast(model, prepared.times[40:44], 1.0)
    assert list(evaluate(prepared.domain, models=["lsntp"]).models) == ["lsntp"]
    assert stored(prepared)["model"].values.tolist() == ["lsntp"]
    assert list(evaluate(prepared.domain).models) == ["ridge", "lsntp"]


def test_a_model_without_any_complete_forecast_has_nothing_to_score(prepared):
    prepared.forecast("ridge", prepared.times[:0], 1.0)
    assert evaluate(prepared.domain).models == {"ridge": FrameCounts(0, 0, 0)}
    assert not prepared.workspace.evaluation.exists()


def test_a_model_of_another_domain_is_refused(prepared):
    with pytest.raises(EvaluationError, match=r"\(persistence, climatology, .*found ../ridge"):
        evaluate(prepared.domain, models=["../ridge"])


def test_without_forecasts_the_error_says_what_to_run(prepared):
    with pytest.raises(EvaluationError, match=r"lsntp forecast \S+small.yaml`"):
        evaluate(prepared.domain)
    prepared.forecast("ridge", prepared.times[40:44], 1.0)
    with pytest.raises(EvaluationError, match=r"forecasts of lsntp .*lsntp forecast \S*small"):
        evaluate(prepared.domain, models=["ridge", "lsntp"])
    assert not prepared.workspace.evaluation.exists()


def test_without_a_training_archive_the_error_says_what_to_run(world):
    world.ingest(world.times)
    world.forecast("ridge", world.times[40:44], 1.0)
    with pytest.raises(EvaluationError, match=r"lsntp prepare \S+small.yaml`"):
        evaluate(world.domain)


def test_forecasts_of_other_leads_are_refused(prepared):
    prepared.forecast("ridge", prepared.times[40:44], 1.0)
    longer = prepared.domain.model_copy(update={"horizon": 3})
    with pytest.raises(EvaluationError, match="3 leads"):
        evaluate(longer)
