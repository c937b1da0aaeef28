import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lsntp.errors import TrainingDataError
from lsntp.times import hours, parse_time
from lsntp.training_data.archive import build_training_archive
from lsntp.training_data.splits import make_split
from lsntp.training_data.targets import TargetTransform
from lsntp.training_data.windows import Windows


@pytest.fixture(scope="module")
def built(make_domain, make_archive, tmp_path_factory):
    """A training archive with a hole at 100, what it was made of, and its split."""
    domain, analysis = make_domain(), make_archive().lose(100)
    folder = tmp_path_factory.mktemp("training")
    training = build_training_archive(domain, analysis, folder / "tiny", "min-max-11")
    return training, analysis, make_split(domain, analysis)


def windows(training, init_times, target="absolute", *, history=3, horizon=2):
    transform = TargetTransform(target, training.scaler, training.statistics)
    return Windows(training, init_times, transform, history=history, horizon=horizon)


def test_history_ends_at_init_time_and_target_follows_it(built):
    training, analysis, split = built
    found = windows(training, split.validation)
    assert len(found) == split.validation.size
    history, target = found[4]
    assert (history.shape, target.shape) == ((3, 1, 2, 3), (2, 1, 2, 3))
    assert history.dtype == target.dtype == torch.float32
    # validation starts at hour 245, its first init_time is hour 247
    expected = analysis.fields[249:254]
    unscale = training.scaler.unscale
    np.testing.assert_allclose(unscale(history)[:, 0], expected[:3], atol=1e-4)
    np.testing.assert_allclose(unscale(target)[:, 0], expected[3:], atol=1e-4)


@pytest.mark.parametrize("target", ["absolute", "anomaly", "increment"])
def test_decoding_the_target_gives_the_fields_in_kelvin(built, target):
    training, analysis, split = built
    found = windows(training, split.train, target)
    _, encoded = found.batch(range(len(found)))
    init = ((split.train - analysis.start) // hours(1)).astype(int)
    valid = init[:, None] + np.array([1, 2])
    times = analysis.start + valid.ravel() * hours(1)
    climatology = training.statistics.climatology.at(times).reshape(*valid.shape, 2, 3)
    decoded = found.transform.decode(
        encoded[:, :, 0], torch.from_numpy(analysis.fields[init]), torch.from_numpy(climatology)
    )
    np.testing.assert_allclose(decoded, analysis.fields[valid], atol=2e-4)


def test_an_increment_target_has_unit_spread_over_training(built):
    training, _, split = built
    found = windows(training, split.train, "increment")
    _, encoded = found.batch(range(len(found)))
    np.testing.assert_allclose(encoded.std(dim=(0, 2, 3, 4)), [1, 1], atol=0.03)


def test_a_data_loader_gives_the_single_samples_stacked(built):
    training, _, split = built
    found = windows(training, split.train, "increment")
    history, target = next(iter(DataLoader(found, batch_size=5)))
    assert history.shape == (5, 3, 1, 2, 3)
    for index in range(5):
        one_history, one_target = found[index]
        torch.testing.assert_close(history[index], one_history, rtol=0, atol=0)
        torch.testing.assert_close(target[index], one_target, rtol=0, atol=0)


def test_no_window_of_the_split_touches_the_hole(built):
    training, analysis, split = built
    found = windows(training, split.train)
    history, target = found.batch(range(len(found)))
    assert torch.isfinite(history).all()
    assert torch.isfinite(target).all()
    assert analysis.start + hours(100) not in split.train


@pytest.mark.parametrize("hour", [98, 100, 102])
def test_a_missing_field_inside_a_window_is_named(built, hour):
    training, analysis, _ = built
    init_times = analysis.start + np.array([50, hour]) * hours(1)
    with pytest.raises(TrainingDataError, match="2021-01-05T04:00Z"):
        windows(training, init_times)


@pytest.mark.parametrize("hour", [97, 103])
def test_a_missing_field_beside_a_window_is_no_fault(built, hour):
    training, analysis, _ = built
    assert len(windows(training, analysis.start + np.array([hour]) * hours(1))) == 1


@pytest.mark.parametrize("hour", [1, 24 * 15 - 2, 24 * 16])
def test_a_window_that_leaves_the_archive_is_refused(built, hour):
    training, analysis, _ = built
    with pytest.raises(TrainingDataError, match="inside the training archive"):
        windows(training, analysis.start + np.array([hour]) * hours(1))


def test_an_init_time_off_the_axis_or_none_at_all_is_refused(built):
    training, _, split = built
    with pytest.raises(TrainingDataError, match="2021-01-02T00:30Z"):
        windows(training, np.array([parse_time("2021-01-02T00:30")]))
    with pytest.raises(TrainingDataError, match="at least one init_time"):
        windows(training, split.train[:0])
