import itertools

import numpy as np
import pytest

from lsntp.errors import TrainingDataError
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.names import Status
from lsntp.times import Period
from lsntp.training import latest_version, prepare, train
from lsntp.training.gate import offer
from lsntp.training.history import open_analysis
from lsntp.training.retraining import with_current_split
from lsntp.training_data.splits import effective_periods, make_split
from lsntp.workspace import Workspace
from tests.lsntp.training.made_versions import gate_domain

DAY = np.timedelta64(1, "D")


@pytest.fixture
def make(make_domain, tmp_path):
    """Six-hourly, history and horizon of two steps: a purge gap of one day."""

    def build(**retrain):
        gate = {"days": 6}
        return gate_domain(make_domain, tmp_path / "root", gate=gate, retrain=retrain)

    return build


def fields(domain, days):
    """280 K, a diurnal wave and a different weather every step."""
    steps = days * domain.steps_per_day
    wave = 3 * np.sin(np.arange(steps) * np.pi / 2)
    weather = np.random.default_rng(1).normal(0, 1, (steps, *domain.target_grid.shape))
    return (280 + wave[:, None, None] + weather).astype(np.float32)


def blocks(domain):
    split = domain.split
    return [str(block.period) for block in (split.train, split.validation, split.test)]


def test_the_fixed_window_is_the_split_as_written(make, publish):
    domain = make()
    assert with_current_split(domain, publish(domain, fields(domain, 20))) is domain


def test_the_rolling_window_ends_with_the_newest_analysis_and_keeps_its_length(make, publish):
    domain = make(window="rolling", days=5, validation_days=3)
    # 20 days: to the 21st. Six days of the gate behind a purge gap of a day, a step of history
    # and two of horizon, in whole days: eight; three of validation, five of training.
    archive = publish(domain, fields(domain, 20))
    expected = [
        "2021-01-05T00:00Z..2021-01-10T00:00Z",
        "2021-01-10T00:00Z..2021-01-13T00:00Z",
        "2021-01-13T00:00Z..2021-01-21T00:00Z",
    ]
    assert blocks(with_current_split(domain, archive)) == expected
    publish(domain, fields(domain, 22)[80:], first=80)
    later = with_current_split(domain, open_analysis(domain))
    assert blocks(later)[0] == "2021-01-07T00:00Z..2021-01-12T00:00Z"


def test_the_expanding_window_grows_from_the_start_of_training(make, publish):
    domain = make(window="expanding", validation_days=3)
    archive = publish(domain, fields(domain, 20))
    assert blocks(with_current_split(domain, archive))[0] == "2021-01-01T00:00Z..2021-01-10T00:00Z"


def test_an_incomplete_day_moves_nothing(make, publish):
    domain = make(window="rolling", days=5, validation_days=3)
    archive = publish(domain, fields(domain, 20))
    before = blocks(with_current_split(domain, archive))
    publish(domain, fields(domain, 21)[80:83], first=80)
    assert blocks(with_current_split(domain, open_analysis(domain))) == before


def test_hours_that_are_not_usable_move_nothing(make, publish):
    domain = make(window="rolling", days=5, validation_days=3)
    archive = publish(domain, fields(domain, 20))
    before = blocks(with_current_split(domain, archive))
    archive.mark(domain.start + np.arange(80, 90) * domain.cadence, Status.QUARANTINED)
    assert blocks(with_current_split(domain, open_analysis(domain))) == before


@pytest.mark.parametrize(
    "retrain",
    [
        {"window": "rolling", "days": 5, "validation_days": 3},
        {"window": "expanding", "validation_days": 3},
    ],
)
def test_no_hour_is_shared_between_training_validation_and_gate(make, publish, retrain):
    domain = make(**retrain)
    archive = publish(domain, fields(domain, 20))
    current = with_current_split(domain, archive)
    split = make_split(current, archive)
    used = []
    for init_times in (split.train, split.validation, split.test):
        steps = np.arange(1 - domain.history, domain.horizon + 1) * domain.cadence
        used.append(np.unique(init_times[:, None] + steps))
    assert all(times.size for times in used)
    for earlier, later in itertools.pairwise(used):
        assert later.min() - earlier.max() > domain.purge
    periods = effective_periods(current)
    assert periods["test"].end - periods["test"].start >= 6 * DAY


@pytest.mark.parametrize(
    ("retrain", "days"),
    [
        ({"window": "rolling", "days": 5, "validation_days": 3}, 15),
        ({"window": "expanding", "validation_days": 3}, 11),
    ],
)
def test_an_archive_that_is_too_short_is_refused_before_any_training(make, publish, retrain, days):
    domain = make(**retrain)
    publish(domain, fields(domain, days))
    with pytest.raises(
        TrainingDataError, match=r"Expected analyses enough.*retrain\.window: fixed"
    ):
        train(domain)
    assert not Workspace.of(domain).models.exists()


def test_training_again_after_new_days_makes_a_version_of_the_newer_window(make, publish):
    domain = make(window="rolling", days=5, validation_days=3)
    publish(domain, fields(domain, 20))
    (first,) = train(domain, models=["ridge"])
    (again,) = train(domain, models=["ridge"])
    assert (first.created, again.created) == (True, False)
    publish(domain, fields(domain, 22)[80:], first=80)
    (later,) = train(domain, models=["ridge"])
    assert later.created
    recipe = latest_version(Workspace.of(domain).models, "ridge").provenance.recipe
    assert recipe.training_period == ("2021-01-07T00:00Z", "2021-01-12T00:00Z")


def test_a_retrained_model_passes_the_gate_and_its_forecasts_are_scored(make, publish):
    domain = make(window="rolling", days=5, validation_days=3)
    publish(domain, fields(domain, 22))
    prepare(domain)
    reports = train(domain, models=["climatology", "persistence"])
    outcomes = offer(domain, [report.version for report in reports])
    assert [outcome.decision.verdict for outcome in outcomes] == ["promoted", "kept"]
    # six whole days are left by construction
    assert outcomes[0].decision.days == 6
    period = Period.parse("2021-01-01", "2021-02-01")
    by_model = {report.model: report for report in forecast(domain, period=period)}
    # validation ends on the 15th; the first truth of a forecast from the 14th 18 UTC is of then
    seen_until = np.datetime64("2021-01-15T00", "ns")
    assert by_model["champion"].written.min() + domain.lead_times[0] == seen_until
    assert evaluate(domain).models["champion"].scored > 0
