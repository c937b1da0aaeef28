import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lsntp.errors import TrainingDataError
from lsntp.times import hours, parse_time
from lsntp.training_data import frame_cache
from lsntp.training_data import windows as module
from lsntp.training_data.archive import build_training_archive
from lsntp.training_data.frame_cache import FrameCache
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


def windows(training, init_times, target="absolute", *, history=3, horizon=2, cache=None):
    transform = TargetTransform(target, training.scaler, training.statistics)
    return Windows(training, init_times, transform, history=history, horizon=horizon, cache=cache)


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


# --- when not all fields fit into memory ---------------------------------------------------

DAY = 4 * 2 * 3 * (24 + 3 + 2 - 1)
"""Bytes of the fields of a block of 24 frames."""


@pytest.fixture
def by_the_day(monkeypatch):
    """Blocks of a day, of which an epoch draws from three at a time."""
    monkeypatch.setattr(frame_cache, "BLOCK_BYTES", 0)
    monkeypatch.setattr(module, "SHUFFLE_BYTES", 3 * DAY)


def cache_of(training, blocks, target="absolute"):
    size = DAY * (2 if target == "anomaly" else 1)
    return FrameCache(
        training,
        span=5,
        max_bytes=blocks * size + 4 * 4 * 2 * 3 * 24,
        needs_climatology=target == "anomaly",
    )


@pytest.mark.parametrize("target", ["absolute", "anomaly", "increment"])
def test_windows_and_their_order_are_the_same_with_any_room(built, by_the_day, target):
    training, _, split = built
    roomy, little = (
        windows(training, split.train, target, cache=cache_of(training, blocks, target))
        for blocks in (99, 1)
    )
    orders = [each.order(np.random.default_rng((1, 0))) for each in (roomy, little)]
    assert orders[0] == orders[1]
    for first in range(0, len(roomy), 7):
        indices = orders[0][first : first + 7]
        for found, expected in zip(little.batch(indices), roomy.batch(indices), strict=True):
            assert torch.equal(found, expected)
    assert roomy.cache.reads == 10  # 240 hours of training
    assert little.cache.reads > 50


def test_an_epoch_decodes_every_block_about_once(built, by_the_day):
    training, _, split = built
    found = windows(training, split.train, cache=cache_of(training, 4))
    before = found.cache.reads
    order = found.order(np.random.default_rng(0))
    assert sorted(order) == list(range(len(found)))
    for first in range(0, len(found), 8):
        found.batch(order[first : first + 8])
    # Ten blocks; the three that the ring begins in the middle of are read twice.
    assert found.cache.reads - before <= 10 + 3


def test_every_stretch_of_an_epoch_mixes_as_many_blocks_as_are_drawn_from(built, by_the_day):
    training, _, split = built
    found = windows(training, split.train)
    day = ((split.train - training.times[0]) // hours(24)).astype(int)
    stretches = []
    for epoch in range(40):
        order = day[found.order(np.random.default_rng(epoch))]
        stretches += [np.unique(order[i : i + 24]) for i in range(0, order.size - 24, 24)]
    # A stretch as long as a day: three days at work, and about two that come and go meanwhile.
    counts = np.array([stretch.size for stretch in stretches])
    assert counts.min() >= 3
    assert 4 < counts.mean() < 6
    pairs = {tuple(pair) for days in stretches for pair in itertools.combinations(days, 2)}
    assert len(pairs) == 10 * 9 / 2  # over the epochs any two days are mixed


def test_the_order_is_a_permutation_where_all_days_are_drawn_from(built, by_the_day, monkeypatch):
    training, _, split = built
    monkeypatch.setattr(module, "SHUFFLE_BYTES", 10 * DAY)
    found = windows(training, split.train)
    expected = np.random.default_rng(5).permutation(len(found)).tolist()
    assert found.order(np.random.default_rng(5)) == expected


def test_a_missing_field_is_found_in_whatever_block_it_lies(built, by_the_day):
    training, analysis, _ = built
    init_times = analysis.start + np.array([50, 98, 300]) * hours(1)
    with pytest.raises(TrainingDataError, match=r"found 1 with .* 2021-01-05T04:00Z"):
        windows(training, init_times, cache=cache_of(training, 1))


def test_room_for_fewer_blocks_than_are_drawn_from_is_reported(built, by_the_day, caplog):
    training, _, split = built
    windows(training, split.train, cache=cache_of(training, 2))
    assert "room for 2 blocks" in caplog.text
    assert "draws from 3 at a time" in caplog.text
    caplog.clear()
    windows(training, split.train, cache=cache_of(training, 3))
    assert not caplog.text
