import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsntp.config import TrainingConfig
from lsntp.errors import ConfigError, HardwareError
from lsntp.training.devices import (
    count_devices,
    require_gpu,
    split_step,
    step_windows,
    window_bytes,
)


@given(count=st.integers(1, 70), size=st.integers(1, 9), ranks=st.integers(1, 5))
def test_every_window_of_a_step_is_in_one_batch_of_one_process(count, size, ranks):
    windows = list(range(100, 100 + count))
    parts = [split_step(windows, size=size, ranks=ranks, rank=rank) for rank in range(ranks)]
    assert [w for batches in parts for batch in batches for w in batch] == windows
    sizes = {len(batch) for batches in parts for batch in batches}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert len({len(batches) for batches in parts}) == 1  # all exchange equally often


def test_one_process_takes_a_whole_step_at_once():
    assert split_step([4, 2, 7], size=8, ranks=1, rank=0) == [[4, 2, 7]]


def test_three_windows_for_two_processes():
    # cuts at 0, 3 * 1 // 2 = 1 and 3
    assert [split_step([4, 2, 7], size=8, ranks=2, rank=r) for r in (0, 1)] == [[[4]], [[2, 7]]]


@pytest.mark.parametrize(
    ("visible", "devices", "expected"),
    [(0, "auto", 1), (0, 3, 3), (4, "auto", 4), (4, 3, 3), (4, 1, 1)],
)
def test_auto_is_every_gpu_or_one_process(monkeypatch, visible, devices, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    config = TrainingConfig(devices=devices, batch_size=5, accumulate=2)
    assert count_devices(config) == expected
    assert step_windows(config) == 10 * expected


def test_more_gpus_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"at most 2, the GPUs that are visible, found 3"):
        count_devices(TrainingConfig(devices=3))


def test_a_fit_shares_its_memory_between_its_processes_and_the_one_that_starts_them():
    assert window_bytes(TrainingConfig(memory_gb=0.5, devices=1)) == 500_000_000
    assert window_bytes(TrainingConfig(memory_gb=0.5, devices=4)) == 100_000_000


def test_auto_leaves_half_of_the_free_memory_to_the_network():
    free = psutil.virtual_memory().available
    assert 0 < window_bytes(TrainingConfig(devices=1)) < 0.75 * free


def test_a_machine_without_gpu_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HardwareError, match=r"CUDA_VISIBLE_DEVICES ''.*--train-on cpu"):
        require_gpu()


def test_a_machine_with_a_gpu_is_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_gpu()
