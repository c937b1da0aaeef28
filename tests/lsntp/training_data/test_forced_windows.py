"""Windows with forcings: those of the same initial times, each where asked for."""

from dataclasses import replace

import numpy as np
import pytest

from lsntp.times import parse_time
from lsntp.training_data.archive import build_training_archive
from lsntp.training_data.forced_windows import ForcedWindows
from lsntp.training_data.forcings import KNOWN, STATIC, Forcings
from lsntp.training_data.splits import make_split
from lsntp.training_data.targets import TargetTransform
from lsntp.training_data.windows import Windows


@pytest.fixture
def forced(domain, archive, tmp_path):
    training = build_training_archive(domain, archive, tmp_path, "standard")
    transform = TargetTransform("absolute", training.scaler, training.statistics)
    init_times = make_split(domain, archive).train
    windows = Windows(training, init_times, transform, history=3, horizon=2)
    forcings = Forcings(domain.target_grid, training.scaler, domain.cadence, history=3, horizon=2)
    return ForcedWindows(windows, forcings)


def test_history_and_target_are_those_of_the_windows(forced):
    assert len(forced) == len(forced.windows)
    np.testing.assert_array_equal(forced.init_times, forced.windows.init_times)
    for ours, theirs in zip(forced.batch([3, 1]), forced.windows.batch([3, 1]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_told_belongs_to_the_same_windows_in_the_same_order(forced):
    known, static = forced.told(range(7, 3, -2))
    np.testing.assert_array_equal(known, forced.forcings.known_future(forced.init_times[[7, 5]]))
    np.testing.assert_array_equal(static, forced.forcings.static)


def test_an_anomaly_of_the_training_block_has_no_mean_by_hour_of_day(forced):
    """History less the told climatology: its mean over whole days of training is zero."""
    indices = [index for index in range(len(forced)) if index < 24 * 9]
    history, _ = forced.batch(indices)
    known, _ = forced.told(indices)
    anomaly = history[:, -1, 0] - known[:, 2, 0]
    assert abs(float(anomaly.mean())) < 0.1
    assert float(history[:, -1].std()) > 1.2 * float(anomaly.std())


@pytest.mark.parametrize(("known", "fixed"), [(KNOWN, ()), ((), STATIC)])
def test_only_what_is_asked_for_is_told(forced, known, fixed):
    forcings = replace(forced.forcings, known=known, fixed=fixed)
    found = ForcedWindows(forced.windows, forcings).told([0])
    assert [part is not None for part in found] == [bool(known), bool(fixed)]


def test_what_comes_after_the_initial_time_is_in_no_input(domain, archive, tmp_path):
    """Later fields are changed: the target differs, nothing that is given does."""
    init_time = parse_time("2021-01-13T05:00")
    given, targets = [], []
    for name, warmer in (("as it was", 0.0), ("as it was not", 30.0)):
        archive.fields[archive.times > init_time] += warmer
        training = build_training_archive(domain, archive, tmp_path / name, "standard")
        transform = TargetTransform("absolute", training.scaler, training.statistics)
        windows = Windows(training, np.array([init_time]), transform, history=25, horizon=2)
        forcings = Forcings(
            domain.target_grid, training.scaler, domain.cadence, history=25, horizon=2
        )
        forced = ForcedWindows(windows, forcings)
        history, target = forced.batch([0])
        given.append((history, *forced.told([0])))
        targets.append(target)
    for before, after in zip(*given, strict=True):
        np.testing.assert_array_equal(before, after)
    assert float((targets[1] - targets[0]).min()) > 0
