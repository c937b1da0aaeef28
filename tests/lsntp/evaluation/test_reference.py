"""Which climatology scores are measured from: that of the present analyses, whatever clocks say."""

import os

import numpy as np
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.errors import EvaluationError
from lsntp.evaluation.reference import training_reference
from lsntp.evaluation.scoring import evaluate
from lsntp.names import Status
from lsntp.times import Period

FUTURE_S = 4_000_000_000


def reference_of(world):
    return training_reference(world.domain, AnalysisArchive.open(world.workspace.analysis))


def trained_until(world, day):
    """The same world whose training block ends on another day, with its training archive."""
    split = world.domain.split.model_dump(mode="json")
    split["train"]["end"] = day
    content = world.domain.model_dump(mode="json") | {"split": split}
    other = type(world)(type(world.domain).model_validate(content))
    other.prepare()
    return other


def date_all(folder, seconds):
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (seconds, seconds))


def archives_of(world):
    return set(world.workspace.training.glob("*.zarr"))


def replace_an_hour(world):
    """An hour of the training block is no longer what the training archive was made of."""
    world.ingest(world.times[8:9], Status.FINAL, change=1.0)


@pytest.fixture
def preliminary(world):
    """A world whose ninth hour of the training block is preliminary, 0.5 K too warm."""
    world.ingest(world.times[:8])
    world.ingest(world.times[8:9], Status.PRELIMINARY, change=0.5)
    world.ingest(world.times[9:56])
    world.prepare()
    return world


@pytest.mark.parametrize("newer", [0, 1])
def test_the_dates_of_files_do_not_choose(prepared, newer):
    first = archives_of(prepared)
    shorter = trained_until(prepared, "2024-01-24")
    (only_shorter,) = archives_of(prepared) - first
    date_all((*first, only_shorter)[newer], FUTURE_S)
    assert reference_of(prepared).period == Period.parse("2024-01-20", "2024-01-25")
    assert reference_of(shorter).period == Period.parse("2024-01-20", "2024-01-24")


def test_the_climatology_is_the_mean_of_the_training_hours(prepared):
    midnights = prepared.times[:20:4]
    np.testing.assert_allclose(
        reference_of(prepared).climatology.at(prepared.times[40:41])[0],
        prepared.truth(midnights).mean(axis=0),
        atol=1e-3,
    )


def test_an_hour_replaced_since_leaves_the_scores_until_prepare_runs(preliminary):
    preliminary.forecast("ridge", preliminary.times[40:44], 1.0)
    evaluate(preliminary.domain)
    before = reference_of(preliminary).digest
    replace_an_hour(preliminary)
    assert reference_of(preliminary).digest == before
    assert evaluate(preliminary.domain).did_nothing
    preliminary.prepare()
    assert reference_of(preliminary).digest != before
    assert evaluate(preliminary.domain).models["ridge"].scored == 8


def test_among_older_ones_that_of_the_scores_stays(preliminary):
    preliminary.forecast("ridge", preliminary.times[40:44], 1.0)
    evaluate(preliminary.domain)
    before = reference_of(preliminary).digest
    trained_until(preliminary, "2024-01-24")
    replace_an_hour(preliminary)
    assert reference_of(preliminary).digest == before


def test_older_ones_without_a_score_are_not_guessed_among(preliminary):
    trained_until(preliminary, "2024-01-24")
    replace_an_hour(preliminary)
    with pytest.raises(EvaluationError, match=r"2 older ones with 2 climat.*lsntp prepare .*small"):
        reference_of(preliminary)
