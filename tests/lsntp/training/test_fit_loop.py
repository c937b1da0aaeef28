"""Fits killed for real, in processes of their own; see trials.py."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lsntp.config import TrainingConfig
from lsntp.errors import StorageError
from lsntp.training.fit_loop import epoch_order, rate_factor
from lsntp.training.network_fit import CHECKPOINTS, LOG

SCRIPT = Path(__file__).with_name("trials.py")
EACH_BATCH = 1e-9
SELDOM = 1e9


def config(minutes=SELDOM, **changes):
    """Eight batches an epoch; patience ends it after nine of twenty epochs."""
    return {
        "epochs": 20,
        "batch_size": 8,
        "learning_rate": 0.05,
        "patience": 3,
        "seed": 3,
        "checkpoint_minutes": minutes,
    } | changes


def fault(at, count):
    return {"at": at, "count": count}


def trial(name, *faults, minutes=EACH_BATCH, **changes):
    return {"name": name, "faults": faults, "config": config(minutes, **changes)}


UNDISTURBED = trial("undisturbed", minutes=SELDOM)
KILLED = [
    trial("in epochs", fault("step", 3), fault("step", 30), fault("step", 9), minutes=SELDOM),
    trial("between batches", fault("step", 13), fault("step", 1), fault("step", 28)),
    trial("while validating", fault("validation", 1), fault("validation", 7), minutes=SELDOM),
    trial("while validating after a checkpoint", fault("validation", 3)),
    # The log is flushed once at the start, then each checkpoint once for itself, once its folder.
    trial("before a rename", *(fault("flush", count) for count in (1, 3, 8, 13))),
    trial("at a rename", fault("rename", 2), fault("rename", 12)),
    trial("while old ones are removed", fault("prune", 1), fault("prune", 5)),
    # The log once, then each of nine epochs its checkpoint and the log.
    trial("after all epochs", fault("rename", 19), minutes=SELDOM),
    {"name": "at any time", "kills": 4, "config": config(EACH_BATCH)},
    {"name": "at any time of an epoch", "kills": 3, "config": config(SELDOM)},
]
# Eight batches and two of validation an epoch: the 25th is the fifth of the third epoch.
REFUSED = [
    trial("no large file", fault("file size", 25)),
    trial("no large file at first", fault("file size", 1)),
]
AVERAGED = [
    trial("averaged", ema=0.9, minutes=SELDOM),
    trial("averaged and killed", fault("step", 13), fault("step", 20), ema=0.9),
    trial("half", precision="bfloat16", minutes=SELDOM),
    trial("half and killed", fault("step", 13), fault("step", 20), precision="bfloat16"),
]
SEEDS = [trial("again", minutes=SELDOM), trial("other seed", seed=4, minutes=SELDOM)]
FULL = trial("full", fault("full", 25)) | {"tmpfs_kib": 256}


def run_trials(folder, trials, *, prefix=(), **environment):
    done = subprocess.run(
        [*prefix, sys.executable, SCRIPT, folder],
        input=json.dumps(trials),
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())} | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """The folder of all trials, and how their processes ended."""
    folder = tmp_path_factory.mktemp("trials")
    every = [UNDISTURBED, *KILLED, *REFUSED, *AVERAGED]
    return folder, run_trials(folder, every, PYTHONHASHSEED="1")


@pytest.fixture(scope="module")
def other_process(tmp_path_factory):
    """The same from another interpreter, which may mount a small disk if the system allows."""
    folder = tmp_path_factory.mktemp("other")
    probe = ("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    may_mount = (
        shutil.which("unshare") and not subprocess.run(probe, capture_output=True).returncode
    )
    trials, prefix = ([*SEEDS, FULL], probe[:2]) if may_mount else (SEEDS, ())
    return folder, run_trials(folder, trials, prefix=prefix, PYTHONHASHSEED="2")


def newest(folder):
    """The content of the last checkpoint, without the seconds, which no two fits share."""
    path = max((folder / CHECKPOINTS).glob("*.ckpt"))
    content = torch.load(path, weights_only=True)["content"]
    assert content["progress"].pop("seconds") > 0
    return content


def assert_equal(found, expected, where=""):
    """Equal bit for bit, in all depths."""
    assert type(found) is type(expected), where
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype, where
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name, value in expected.items():
            assert_equal(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_equal(found[index], value, f"{where}[{index}]")
    else:
        assert found == expected, where


def assert_same_fit(folder, undisturbed):
    assert_equal(newest(folder), newest(undisturbed))
    ends = [torch.load(path / "end.pt", weights_only=True) for path in (folder, undisturbed)]
    assert_equal(*ends)
    assert (folder / LOG).read_bytes() == (undisturbed / LOG).read_bytes()


def test_a_checkpoint_holds_what_a_fit_depends_on(trials):
    content = newest(trials[0] / "undisturbed")
    assert content["progress"]["stopped_by"] == "patience"
    assert (content["progress"]["epoch"], content["progress"]["best_epoch"]) == (9, 6)
    # 3 * 16 * 9 + 16 + 16 * 2 + 2 weights, each with two moments
    moments = content["optimizer"]["state"].values()
    assert sum(m[name].numel() for m in moments for name in ("exp_avg", "exp_avg_sq")) == 2 * 482
    assert {int(m["step"]) for m in moments} == {72}
    assert not torch.equal(
        content["best"]["layers.0.weight"], content["network"]["layers.0.weight"]
    )


@pytest.mark.parametrize("trial", KILLED, ids=lambda trial: trial["name"])
def test_a_killed_fit_ends_as_an_undisturbed_one(trials, trial):
    folder, ends = trials
    *killed, last = ends[trial["name"]]
    assert last == 0
    if "kills" in trial:
        assert set(killed) <= {-9, 0}  # one that was quicker than its killer is no failure
    else:
        assert killed == [-9] * len(trial["faults"])
    assert_same_fit(folder / trial["name"], folder / "undisturbed")


@pytest.mark.parametrize("trial", REFUSED, ids=lambda trial: trial["name"])
def test_a_refused_write_is_a_storage_error_and_costs_nothing(trials, trial):
    folder, ends = trials
    assert ends[trial["name"]] == [StorageError.exit_code, 0]
    log = (folder / f"{trial['name']}.log").read_text()
    assert "File too large; free space on that file system" in log
    assert ("Going on after 2 of 20 epochs and 4 of 8" in log) == (trial["faults"][0]["count"] > 1)
    assert_same_fit(folder / trial["name"], folder / "undisturbed")


@pytest.mark.parametrize("name", ["averaged", "half"])
def test_average_and_precision_are_resumed_too(trials, name):
    folder, ends = trials
    assert ends[f"{name} and killed"] == [-9, -9, 0]
    assert_same_fit(folder / f"{name} and killed", folder / name)
    weights = newest(folder / name)["network"]["layers.0.weight"]
    assert weights.dtype == torch.float32
    same = torch.equal(weights, newest(folder / "undisturbed")["network"]["layers.0.weight"])
    assert same == (name == "averaged")  # the average looks on; bfloat16 rounds every step


def test_seeds_decide_the_weights_in_every_process(trials, other_process):
    undisturbed, other = trials[0] / "undisturbed", other_process[0]
    assert_same_fit(other / "again", undisturbed)
    weights = [
        torch.load(path / "end.pt", weights_only=True)["weights"]["layers.0.weight"]
        for path in (other / "other seed", undisturbed)
    ]
    assert not torch.isclose(*weights).any()


def test_a_full_disk_is_a_storage_error_and_costs_nothing(trials, other_process):
    folder, ends = other_process
    if "full" not in ends:
        pytest.skip("mounting a small file system needs user namespaces (unshare -rm)")
    assert ends["full"] == [StorageError.exit_code, 0]
    log = (folder / "full.log").read_text()
    assert "No space left on device; free space on that file system" in log
    assert "Going on after 2 of 20 epochs and 4 of 8" in log
    assert_same_fit(folder / "full-copy", trials[0] / "undisturbed")


@pytest.mark.slow
def test_many_kills_at_random_moments_change_nothing(tmp_path):
    many = [
        {"name": f"trial {number}", "kills": 6, "config": config(minutes)}
        for number in range(20)
        for minutes in (0.05 / 60 if number % 2 else EACH_BATCH,)
    ]
    ends = run_trials(tmp_path, [UNDISTURBED, *many])
    assert sum(end == -9 for name in ends for end in ends[name]) > 60
    for each in many:
        assert ends[each["name"]][-1] == 0
        assert_same_fit(tmp_path / each["name"], tmp_path / "undisturbed")


def test_the_order_depends_on_seed_and_epoch_alone():
    class Fifty:
        def order(self, numbers):
            return numbers.permutation(50).tolist()

    windows = Fifty()
    order = epoch_order(windows, seed=1, epoch=0)
    assert sorted(order) == list(range(50))
    assert order == epoch_order(windows, seed=1, epoch=0)
    assert order != epoch_order(windows, seed=1, epoch=1)
    assert order != epoch_order(windows, seed=2, epoch=0)


def test_the_learning_rate_rises_then_falls_to_zero_along_a_cosine():
    factor = rate_factor(100, TrainingConfig(warmup=0.1))
    # 10 rising steps: 0.1, 0.2 … 1.0; then a cosine over 90: half way (step 55) it is one half.
    assert [round(factor(step), 6) for step in (0, 4, 9)] == [0.1, 0.5, 1.0]
    assert factor(55) == pytest.approx(0.5)
    assert math.isclose(factor(100), 0.0, abs_tol=1e-12)
    assert math.isclose(factor(120), 0.0, abs_tol=1e-12)


def test_the_learning_rate_without_decay_rises_and_stays():
    factor = rate_factor(100, TrainingConfig(warmup=0.1, decay="none"))
    assert [factor(step) for step in (0, 4, 9, 10, 55, 99)] == [0.1, 0.5, 1.0, 1.0, 1.0, 1.0]
