"""Which frames are compared, counted by hand on a world whose forecasts are known slot by slot."""

import numpy as np
import pytest
import xarray as xr

from lsntp.errors import EvaluationError
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.selection import Contender, described, select
from lsntp.times import Period
from tests.lsntp.training.made_versions import biased

# Truth ends with slot 55. The test block is slots 36..59; its first window starts from slot 41.


def slots(world, first, end):
    return Period(world.times[first], world.times[end])


def changed(domain, **changes):
    return type(domain).model_validate(domain.model_dump(mode="json") | changes)


@pytest.mark.parametrize(
    ("text", "contender"),
    [
        ("ridge", Contender("ridge", None)),
        ("lsntp@0123", Contender("lsntp", "0123")),
        ("lsntp@lsntp-0123", Contender("lsntp", "lsntp-0123")),
    ],
)
def test_a_contender_is_read_as_it_is_typed(text, contender):
    assert Contender.parse(text) == contender
    assert str(contender) == text


@pytest.mark.parametrize("text", ["", "@", "@0123", "lsntp@"])
def test_half_a_contender_is_refused(text):
    with pytest.raises(EvaluationError, match=f"Expected MODEL or MODEL@VERSION, found '{text}'"):
        Contender.parse(text)


def test_by_default_every_model_counts_and_the_one_with_the_fewest_limits_the_set(stepped):
    chosen = select(stepped.domain)
    assert chosen.models == stepped.domain.model_names
    assert chosen.sums["model"].values.tolist() == list(chosen.models)
    assert chosen.init_times.tolist() == stepped.times[[41, 42, 43, 52, 53]].tolist()
    assert chosen.versions["lsntp"] == ("lsntp-aaaaaaaaaaaa", "lsntp-bbbbbbbbbbbb")
    assert (chosen.preliminary_frames, chosen.seen) == (0, 0)


def test_a_model_without_a_forecast_in_the_period_drops_out_unless_it_is_named(stepped):
    period = slots(stepped, 44, 51)
    chosen = select(stepped.domain, period=period)
    assert set(chosen.models) == {"persistence", "ridge", "lsntp"}
    assert chosen.init_times.size == 7
    with pytest.raises(EvaluationError, match="fully scored forecasts of climatology in 2024-01-3"):
        select(stepped.domain, models=["ridge", "climatology"], period=period)


def test_the_order_is_that_in_which_models_are_named_and_only_the_asked_sums_are_read(stepped):
    chosen = select(
        stepped.domain,
        models=["ridge", "persistence"],
        period=slots(stepped, 42, 44),
        variables=["absolute_error_sum"],
    )
    assert set(chosen.sums.data_vars) == {"count", "absolute_error_sum"}
    # 64 cells; ridge is 2 K and 3 K wrong from slots 42 and 43, persistence always 2 K
    expected = [[[128, 128], [192, 192]], [[128, 128], [128, 128]]]
    np.testing.assert_allclose(chosen.sums["absolute_error_sum"], expected, rtol=1e-4)
    assert (chosen.sums["count"] == 64).all()


def test_a_truth_on_the_last_step_of_validation_has_been_seen(stepped):
    # validation ends before slot 36: the first truth of slot 34 is inside, that of 35 is not
    chosen = select(stepped.domain, models=["ridge"], period=slots(stepped, 33, 38))
    assert (chosen.init_times.size, chosen.seen) == (5, 2)


def test_what_a_version_has_seen_is_counted_though_the_split_has_moved_since(prepared):
    domain, times = prepared.domain, prepared.times
    old = biased(domain, 1.0, 1.0, seen="2024-02-01")  # up to slot 47; the split now ends with 35
    tuned = biased(domain, 2.0, 2.0, parent=old)
    fresh = biased(domain, 3.0, 3.0)
    prepared.forecast("ridge", times[41:45], 1.0, version=old)
    prepared.forecast("ridge", times[45:48], 1.0, version=tuned)
    prepared.forecast("ridge", times[48:50], 1.0, version=tuned)
    prepared.forecast("ridge", times[50:54], 1.0, version=fresh)
    prepared.forecast("persistence", times[41:54], 1.0)  # by a version that is not stored
    evaluate(domain)
    both = select(domain, models=["persistence", "ridge"])
    # the first truth of slots 41..46 is in 42..47, that of 47 in 48
    assert (both.init_times.size, both.seen) == (13, 6)
    assert select(domain, models=[f"ridge@{old}"]).seen == 4
    assert select(domain, models=[f"ridge@{tuned}"]).seen == 2
    assert select(domain, models=[f"ridge@{fresh}"]).seen == 0
    assert select(domain, models=["persistence"]).seen == 0


def test_what_a_version_has_not_seen_does_not_count_whatever_the_split_says_now(prepared):
    early = biased(prepared.domain, 1.0, 1.0, seen="2024-01-27")  # up to slot 27
    prepared.forecast("ridge", prepared.times[24:36], 1.0, version=early)
    evaluate(prepared.domain)
    chosen = select(prepared.domain, models=["ridge"], period=slots(prepared, 24, 36))
    assert (chosen.init_times.size, chosen.seen) == (12, 3)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"recipe": {"validation_period": []}}'])
def test_a_version_whose_provenance_cannot_be_read_has_seen_what_the_split_says(prepared, content):
    domain, times = prepared.domain, prepared.times
    version = biased(domain, 1.0, 1.0, seen="2024-02-01")
    (prepared.workspace.models / version / "provenance.json").write_bytes(content)
    prepared.forecast("ridge", times[33:38], 1.0, version=version)
    evaluate(domain)
    assert select(domain, models=["ridge"], period=slots(prepared, 33, 38)).seen == 2


def test_the_default_period_ends_with_the_last_whole_window_unless_it_is_open(stepped):
    split = stepped.domain.model_dump(mode="json")["split"]
    shorter = split | {"test": split["test"] | {"end": "2024-02-01"}}  # before slot 48
    domain = changed(stepped.domain, split=shorter)
    closed = select(domain, models=["ridge"])
    assert closed.init_times.tolist() == stepped.times[41:46].tolist()  # 45 verifies at 46 and 47
    beyond = select(domain, models=["ridge"], is_open_ended=True)
    assert beyond.init_times.tolist() == stepped.times[41:54].tolist()


def test_a_model_that_left_the_domain_is_compared_only_if_named(stepped):
    domain = changed(stepped.domain, baselines=["ridge"])
    assert select(domain).models == ("ridge", "lsntp")
    assert select(domain, models=["persistence"]).init_times.size == 13


def test_outside_the_test_block_everything_counts_and_a_whole_version_is_no_beginning(prepared):
    times = prepared.times
    prepared.forecast("ridge", times[24:28], 1.0, version="ridge-a")
    prepared.forecast("ridge", times[28:31], 1.0, version="ridge-ab")
    evaluate(prepared.domain)
    everything = select(prepared.domain)
    assert everything.init_times.tolist() == times[24:31].tolist()
    assert everything.period.start == prepared.domain.start
    assert everything.seen == 7
    assert select(prepared.domain, models=["ridge@ridge-a"]).init_times.size == 4
    assert select(prepared.domain, models=["ridge@ab"]).init_times.size == 3


def test_scores_are_described_with_units_and_what_they_speak_of(stepped):
    chosen = select(stepped.domain, models=["ridge"], period=slots(stepped, 33, 38))
    scores = xr.Dataset(
        {"mae": 1.0, "rmse_pooled": 1.0, "bias": 0.0, "acc": 0.9, "better": "ridge"}
    )
    found = described(scores, chosen, "area")
    units = {name: values.attrs.get("units") for name, values in found.items()}
    assert units == {"mae": "K", "rmse_pooled": "K", "bias": "K", "acc": "1", "better": None}
    assert found.attrs == {
        "weighting": "area",
        "period": "2024-01-28T06:00Z..2024-01-29T12:00Z",
        "common_init_times": 5,
        "seen": 2,
        "preliminary_frames": 0,
    }
