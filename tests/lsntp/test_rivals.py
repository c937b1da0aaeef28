"""Versions side by side: what the gate compared, in archives under the versions' own names."""

import shutil

import numpy as np
import pytest

from lsntp.archives.evaluation import EvaluationArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain, RetrainConfig
from lsntp.errors import ArchiveError, ArchiveNotFoundError, EvaluationError, ModelError
from lsntp.evaluation.comparison import compare
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import skill_table
from lsntp.forecasting import forecast, forecast_models, forecast_rivals
from lsntp.names import Status
from lsntp.times import Period
from lsntp.training.champion import promote
from lsntp.training.fit import prepare
from lsntp.training.gate import offer
from lsntp.workspace import Workspace
from tests.lsntp.conftest import publish_small, small_domain
from tests.lsntp.training.made_versions import biased, gate_domain, truth

WINDOW = ("2021-01-12T12:00", "2021-01-22T06:00")
"""By hand: validation ends on the 11th; a day of purge gap and a step of history; the last truth is
of the 22nd 18 UTC, two steps behind the last initial time; ten whole days of 6 h."""


@pytest.fixture
def domain(tmp_path):
    """Constant truth behind a training block that is not; the champion misses by 1 K."""
    made = gate_domain(small_domain, tmp_path / "root")
    fields = truth(made)
    fields[:24:2] += 3.0
    publish_small(made, fields)
    prepare(made)
    promote(made, biased(made, 1.0, 1.0), by="test", reason="the bar")
    return made


@pytest.fixture
def rivals(domain):
    """A candidate that misses by 0.5 and 0.9 K and was judged, and the champion it met."""
    candidate = biased(domain, 0.5, -0.9)
    (outcome,) = offer(domain, [candidate])
    return candidate, outcome.decision.champion


def keep(domain):
    return forecast_rivals(domain, ["ridge"])


def archive_of(domain, name):
    return ForecastArchive.open(Workspace.of(domain).forecast(name))


def test_both_forecast_from_the_initial_times_that_were_compared(domain, rivals):
    reports = keep(domain)
    assert [(report.model, report.version) for report in reports] == [(v, v) for v in rivals]
    first, last = np.array(WINDOW, "datetime64[ns]")
    expected = np.arange(first, last + domain.cadence, domain.cadence)
    for version, error in zip(rivals, ([0.5, -0.9], [1.0, 1.0]), strict=True):
        archive = archive_of(domain, version)
        times = archive.written()
        assert times.tolist() == expected.tolist()
        assert set(archive.model_versions(times)) == {version}
        np.testing.assert_allclose(
            archive.read(times),
            280.0 + np.array(error)[None, :, None, None] * np.ones((40, 1, 6, 8)),
        )


@pytest.mark.parametrize("window", ["fixed", "expanding"])
def test_a_moving_window_cuts_nothing_from_what_was_compared(domain, rivals, window):
    moving = domain.model_copy(update={"retrain": RetrainConfig(window=window)})
    assert [report.written.size for report in keep(moving)] == [40, 40]


def test_doing_it_again_writes_nothing(domain, rivals):
    keep(domain)
    assert [report.written.size for report in keep(domain)] == [0, 0]


def test_the_evaluation_archive_compares_them_over_the_same_initial_times(domain, rivals):
    keep(domain)
    assert set(evaluate(domain, models=rivals).models) == set(rivals)
    found = compare(domain, *rivals, metric="rmse")
    assert found.init_times.size == 40
    assert found.overall.first == pytest.approx(0.7, abs=1e-5)
    assert found.overall.second == pytest.approx(1.0, abs=1e-5)
    assert found.overall.difference.estimate == pytest.approx(-0.3, abs=1e-5)
    assert found.overall.difference.high < 0
    assert found.versions == {version: (version,) for version in rivals}
    assert found.seen == 0


def test_scores_of_versions_follow_a_truth_that_becomes_final(tmp_path):
    made = gate_domain(small_domain, tmp_path / "root")
    fields = truth(made)
    fields[:24:2] += 3.0
    publish_small(made, fields[:-4])
    publish_small(made, fields[-4:] + np.float32(3.0), first=84, status=Status.PRELIMINARY)
    prepare(made)
    promote(made, biased(made, 1.0, 1.0), by="test", reason="the bar")
    candidate = biased(made, 0.5, 0.5)
    offer(made, [candidate])
    keep(made)
    forecast(made, models=["champion"])
    evaluate(made, models=[candidate])

    def errors():
        """Mean absolute error of the candidate's newest five forecasts, K."""
        with EvaluationArchive.open(Workspace.of(made).evaluation).dataset() as data:
            frames = data.sel(model=candidate)
            mean = frames["absolute_error_sum"] / frames["count"].where(frames["count"] > 0)
            return mean.sel(init_time=slice("2021-01-21T06:00", "2021-01-22T06:00")).values

    # 3 K too warm are the analyses of the 22nd until they are final: as truth of the forecasts from
    # the 21st at 12 and 18 UTC, and as where those of the 22nd itself start from
    before = [[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_allclose(errors(), before, atol=1e-4)
    publish_small(made, fields[-4:], first=84)
    assert set(evaluate(made).models) == {"champion", candidate}
    after = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [3.5, 3.5], [3.5, 3.5]]
    np.testing.assert_allclose(errors(), after, atol=1e-4)
    assert set(evaluate(made).models) == {"champion"}, "looked at a settled version again"


def test_a_damaged_archive_of_a_version_is_in_nobodys_way(tmp_path, caplog):
    made = gate_domain(small_domain, tmp_path / "root")
    fields = truth(made)
    fields[:24:2] += 3.0
    publish_small(made, fields, status=Status.PRELIMINARY)
    prepare(made)
    promote(made, biased(made, 1.0, 1.0), by="test", reason="the bar")
    candidate = biased(made, 0.5, 0.5)
    offer(made, [candidate])
    keep(made)
    evaluate(made, models=[candidate])
    forecast(made, models=["champion"])
    versions = Workspace.of(made).forecast(candidate) / "model_version" / "c" / "0"
    versions.write_bytes(b"broken")
    assert set(evaluate(made).models) == {"champion"}
    assert f"The scores of {candidate} stay as they are" in caplog.text
    with pytest.raises(ArchiveError):
        evaluate(made, models=[candidate])


def test_neither_starts_from_preliminary_analyses_where_the_other_has_final_ones(tmp_path):
    made = gate_domain(small_domain, tmp_path / "root")
    fields = truth(made)
    publish_small(made, fields[:-4])
    publish_small(made, fields[-4:] + np.float32(3.0), first=84, status=Status.PRELIMINARY)
    champion = biased(made, 1.0, 1.0)
    promote(made, champion, by="test", reason="the bar")
    first = biased(made, 1.5, 1.5)
    offer(made, [first])
    keep(made)
    publish_small(made, fields[-4:], first=84)
    second = biased(made, 2.0, 2.0)
    offer(made, [second])

    keep(made)

    newest = np.array(["2021-01-22T00:00", "2021-01-22T06:00"], "datetime64[ns]")
    for version, expected in ((champion, 281.0), (second, 282.0), (first, 284.5)):
        np.testing.assert_allclose(archive_of(made, version).read(newest), expected)


def test_only_the_newest_comparison_of_the_named_models_is_kept(domain, rivals):
    assert forecast_rivals(domain, ["climatology"]) == []
    better = biased(domain, 0.1, 0.1)
    offer(domain, [better])
    biased(domain, 0.2, 0.2)  # never judged
    assert [report.version for report in keep(domain)] == [better, rivals[0]]
    with pytest.raises(ArchiveNotFoundError):
        archive_of(domain, rivals[1])


def test_a_rival_that_is_gone_is_left_out_and_said(domain, rivals, caplog):
    shutil.rmtree(Workspace.of(domain).models / rivals[1])
    assert [report.version for report in keep(domain)] == [rivals[0]]
    assert f"No forecasts of {rivals[1]} to compare" in caplog.text


def test_any_version_named_whole_forecasts_under_its_name(domain):
    version = biased(domain, 0.25, 0.25)
    period = Period.parse("2021-01-15", "2021-01-16")
    (report,) = forecast_models(domain, models=[version], period=period)
    assert (report.model, report.version, report.written.size) == (version, version, 4)
    with pytest.raises(ModelError, match=r"one of the model versions .* found 'ridge-00000000"):
        forecast_models(domain, models=["ridge-000000000000"], period=period)


def test_versions_do_not_join_what_is_done_for_every_model(domain, rivals):
    keep(domain)
    evaluate(domain, models=rivals)
    assert not {report.model for report in forecast(domain)} & set(rivals)
    assert not set(evaluate(domain).models) & set(rivals)
    assert set(rivals) <= set(EvaluationArchive.open(Workspace.of(domain).evaluation).models)
    assert not set(skill_table(domain).models) & set(rivals)


def test_versions_are_compared_over_all_they_share_and_not_over_the_test_block_alone(
    domain, rivals
):
    keep(domain)
    evaluate(domain, models=rivals)
    short = {"test": {"start": "2021-01-11", "end": "2021-01-14"}}
    content = domain.model_dump(mode="json")
    moved = Domain.model_validate(content | {"split": content["split"] | short})
    assert compare(moved, *rivals).init_times.size == 40


def test_a_version_without_forecasts_or_scores_has_its_own_remedy(domain, rivals):
    keep(domain)
    absent = "ridge-000000000000"
    with pytest.raises(EvaluationError, match=rf"of {absent} in .* --model {absent}`"):
        evaluate(domain, models=[absent])
    evaluate(domain, models=rivals)
    with pytest.raises(EvaluationError, match=rf"scored .* of {absent} .* --model {absent}`, then"):
        compare(domain, rivals[0], absent)
    with pytest.raises(EvaluationError, match=r"Expected models .* or whole names .* found guess"):
        compare(domain, rivals[0], "guess")
