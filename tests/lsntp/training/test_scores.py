import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.training.scores import validation_scores
from lsntp.workspace import Workspace


class Warmer:
    """A forecaster that is wrong by exactly ``error_k`` at every lead."""

    name = "warmer"
    offsets = (-2, 0)

    def __init__(self, archive, lead_times, error_k):
        self.archive, self.lead_times, self.error_k = archive, lead_times, error_k

    def forecast(self, history, init_times):
        valid_times = init_times[:, None] + self.lead_times
        truth = self.archive.read(valid_times.ravel())
        return truth.reshape(*valid_times.shape, *truth.shape[1:]) + np.float32(self.error_k)


def scores_of(domain, init_times, error_k=2.0):
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    model = Warmer(archive, domain.lead_times, error_k)
    return validation_scores(model, archive, init_times, domain.lead_times)


def test_a_constant_error_is_the_mae_and_its_square_the_mse(ingested):
    init_times = ingested.start + np.arange(10, 90) * ingested.cadence
    scores = scores_of(ingested, init_times)
    assert scores.windows == 80
    np.testing.assert_allclose(scores.mae, [2.0, 2.0, 2.0], rtol=1e-4)
    np.testing.assert_allclose(scores.mse, [4.0, 4.0, 4.0], rtol=1e-4)


def test_persistence_is_scored_on_the_same_windows(ingested):
    archive = AnalysisArchive.open(Workspace.of(ingested).analysis)
    init_times = ingested.start + np.arange(10, 12) * ingested.cadence
    fields = archive.read(ingested.start + np.arange(10, 15) * ingested.cadence).astype(float)
    lead_3 = (np.abs(fields[0] - fields[3]).mean() + np.abs(fields[1] - fields[4]).mean()) / 2
    scores = scores_of(ingested, init_times)
    np.testing.assert_allclose(scores.persistence_mae[2], lead_3, rtol=1e-6)


def test_windows_that_leave_the_archive_are_left_out(ingested):
    # the first two hours lack history, the last three truth: 360 - 2 - 3
    init_times = ingested.start + np.arange(360) * ingested.cadence
    assert scores_of(ingested, init_times).windows == 355


def test_without_a_single_window_there_is_no_score(ingested):
    assert scores_of(ingested, ingested.start + np.arange(2) * ingested.cadence) is None


def test_scores_name_their_units(ingested):
    content = scores_of(ingested, ingested.start + np.arange(5, 9) * ingested.cadence).to_dict()
    assert content["lead_times_h"] == [1.0, 2.0, 3.0]
    assert content["windows"] == 4
    assert set(content) == {
        "windows",
        "lead_times_h",
        "mse_k2",
        "mae_k",
        "persistence_mse_k2",
        "persistence_mae_k",
    }
