import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lsntp.archives.lease import writer_lease
from lsntp.errors import ArchiveBusyError, ModelError, TrainingDataError
from lsntp.names import Status
from lsntp.training import fit as fitting
from lsntp.training import list_versions, prepare, train
from lsntp.training_data import frame_cache, windows
from lsntp.training_data.windows import Windows
from lsntp.workspace import Workspace
from tests.lsntp.training.trained_domains import assert_equal_tensors, version_of, with_training


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_training_again_on_the_same_inputs_does_nothing(trained):
    before = snapshot(Workspace.of(trained).models)
    reports = train(trained)
    assert [report.model for report in reports] == list(trained.model_names)
    assert not any(report.created for report in reports)
    assert all(report.seconds == 0 for report in reports)
    assert snapshot(Workspace.of(trained).models) == before


def test_the_same_seed_gives_the_same_weights(ingested, trained):
    (report,) = train(ingested, models=["net"])
    assert report.created
    assert report.version == version_of(trained).version
    assert_equal_tensors(version_of(ingested), version_of(trained))


def test_another_seed_gives_another_version(trained):
    first = version_of(trained)
    (report,) = train(with_training(trained, seed=2, epochs=1), models=["net"])
    assert report.created
    assert report.version != first.version
    assert version_of(trained).version == report.version


def test_force_trains_again_beside_the_old_version(trained):
    first = version_of(trained, "ridge")
    (report,) = train(trained, models=["ridge"], force=True)
    assert report.created
    assert report.version != first.version
    assert len(list_versions(Workspace.of(trained).models, "ridge")) == 2
    assert_equal_tensors(version_of(trained, "ridge"), first)


def test_an_interrupted_fit_goes_on_to_the_weights_of_an_undisturbed_one(
    ingested, trained, monkeypatch
):
    batch = Windows.batch
    asked = []

    def interrupting(self, indices):
        asked.append(len(indices))
        if len(asked) == 11:  # six steps and two batches of validation an epoch
            raise KeyboardInterrupt
        return batch(self, indices)

    with monkeypatch.context() as patch:
        patch.setattr(Windows, "batch", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train(ingested, models=["net"])
    assert version_of(ingested) is None
    steps = []
    monkeypatch.setattr(Windows, "batch", lambda *args: steps.append(1) or batch(*args))
    (report,) = train(ingested, models=["net"])
    assert len(steps) == 6 + 2  # only the second epoch
    assert report.created
    assert_equal_tensors(version_of(ingested), version_of(trained))
    logs = [
        Workspace.of(domain).work / "training" / report.version / "metrics.csv"
        for domain in (ingested, trained)
    ]
    assert logs[0].read_bytes() == logs[1].read_bytes()


def test_a_fit_with_other_settings_starts_afresh_and_says_so(ingested, monkeypatch, caplog):
    def interrupting(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "validation_scores", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train(ingested, models=["net"])
    (report,) = train(with_training(ingested, epochs=1), models=["net"])
    assert f"{report.version} starts afresh" in caplog.text
    assert "settings.training.epochs 1 here, 2 there" in caplog.text
    assert version_of(ingested).scores["epochs"] == 1


def test_the_time_between_checkpoints_does_not_name_another_version(trained):
    (report,) = train(with_training(trained, checkpoint_minutes=1.0), models=["net"])
    assert not report.created


def test_a_version_is_named_by_the_windows_of_a_step_however_they_are_taken(trained):
    (same,) = train(with_training(trained, batch_size=16, accumulate=2), models=["net"])
    assert not same.created
    assert version_of(trained).provenance.recipe.settings["training"]["batch_size"] == 32


@pytest.fixture
def by_the_day(monkeypatch):
    """Blocks of a day, of which an epoch draws from three at a time; the least memory, in GB."""
    fields = 4 * 6 * 8 * (24 + 4 + 3 - 1)  # a day and what windows need beyond it, float32
    monkeypatch.setattr(frame_cache, "BLOCK_BYTES", 0)
    monkeypatch.setattr(windows, "SHUFFLE_BYTES", 3 * fields)
    return (fields + 4 * 4 * 6 * 8 * 24) / 1e9  # one block, and what decoding a day takes


def test_memory_decides_neither_name_nor_weights(ingested, by_the_day, make_domain, tmp_path):
    shutil.copytree(ingested.root, tmp_path / "roomy")
    roomy = make_domain(tmp_path / "roomy")
    small = with_training(ingested, memory_gb=by_the_day)
    (report,) = train(small, models=["net"])
    (other,) = train(roomy, models=["net"])
    assert other.version == report.version
    assert_equal_tensors(version_of(small), version_of(roomy))


def test_a_fit_from_little_memory_goes_on_to_the_same_weights_with_much(
    ingested, by_the_day, make_domain, tmp_path, monkeypatch
):
    shutil.copytree(ingested.root, tmp_path / "undisturbed")
    undisturbed = make_domain(tmp_path / "undisturbed")
    train(undisturbed, models=["net"])
    batch, asked = Windows.batch, []

    def interrupting(self, indices):
        asked.append(len(indices))
        if len(asked) == 11:  # six steps and two batches of validation an epoch
            raise KeyboardInterrupt
        return batch(self, indices)

    little = with_training(ingested, memory_gb=by_the_day, checkpoint_minutes=1e-9)
    with monkeypatch.context() as patch:
        patch.setattr(Windows, "batch", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train(little, models=["net"])
    steps = []
    monkeypatch.setattr(Windows, "batch", lambda *args: steps.append(1) or batch(*args))
    train(ingested, models=["net"])
    assert len(steps) == 6 - 2 + 2  # two steps of the second epoch were saved
    assert_equal_tensors(version_of(ingested), version_of(undisturbed))


def test_too_little_memory_is_refused_with_the_setting_to_raise(ingested, by_the_day):
    with pytest.raises(TrainingDataError, match=r"raise training\.memory_gb"):
        train(with_training(ingested, memory_gb=by_the_day / 2), models=["net"])


@pytest.mark.slow
def test_two_processes_with_little_memory_make_what_one_makes_with_much(
    ingested, by_the_day, make_domain, tmp_path
):
    shutil.copytree(ingested.root, tmp_path / "one")
    one = make_domain(tmp_path / "one")
    (report,) = train(one, models=["net"])
    two = with_training(ingested, devices=2, batch_size=16, memory_gb=6 * by_the_day)
    (other,) = train(two, models=["net"])
    assert other.version == report.version
    scores = [version_of(domain).scores["mae_k"] for domain in (one, two)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)


@pytest.mark.slow
def test_two_processes_make_the_version_that_one_makes(ingested, trained):
    two = with_training(ingested, devices=2, batch_size=16)
    (report,) = train(two, models=["net"])
    one, other = version_of(trained), version_of(two)
    assert report.version == one.version
    assert (one.provenance.hardware["devices"], other.provenance.hardware["devices"]) == ("1", "2")
    assert other.provenance.hardware["accelerator"] == "cpu"
    assert other.scores["mae_k"] == pytest.approx(one.scores["mae_k"], rel=1e-5)
    left, right = one.tensors(), other.tensors()
    # Scale and bias of one channel have no part behind its GroupNorm: their gradient is rounding,
    # which Adam turns into steps of full length.
    for name in (name for name in left if "encoder1.W_x.attention" not in name):
        np.testing.assert_allclose(left[name], right[name], rtol=0, atol=2e-4, err_msg=name)


def test_after_success_the_log_stays_and_the_checkpoints_go(ingested):
    (report,) = train(with_training(ingested, epochs=1), models=["net"])
    work = Workspace.of(ingested).work / "training" / report.version
    assert list(work.rglob("metrics.csv"))
    assert not list(work.rglob("*.ckpt"))


def test_scores_stand_beside_those_of_persistence(trained):
    scores, persistence = version_of(trained).scores, version_of(trained, "persistence").scores
    assert scores["persistence_mae_k"] == pytest.approx(persistence["mae_k"])
    assert persistence["mae_k"] == persistence["persistence_mae_k"]
    # 2021-01-09T07 (after the purge gap) to 2021-01-12T00: 65 hours, windows of 4 + 3
    assert scores["windows"] == 59
    assert scores["epochs"] == 2


def test_only_the_training_block_decides_a_ridge(
    trained, make_domain, make_fields, publish, tmp_path
):
    domain = make_domain(tmp_path / "other")
    fields = make_fields(domain)
    later = 8 * 24  # 2021-01-09, the end of training
    fields[later:] += np.random.default_rng(1).normal(0, 9, fields[later:].shape)
    publish(domain, fields)
    train(domain, models=["ridge"])
    assert_equal_tensors(version_of(domain, "ridge"), version_of(trained, "ridge"))


def test_the_loss_that_stops_a_fit_is_that_of_the_validation_block(trained):
    version = version_of(trained)
    mse_k2 = np.array(version.scores["mse_k2"])
    spread_k = np.array(version.statistics["increment_std"])
    assert version.scores["validation_loss"] == pytest.approx((mse_k2 / spread_k**2).mean(), 1e-4)


def test_unknown_models_are_named_with_the_known_ones(ingested):
    with pytest.raises(ModelError, match=r"persistence.*net.*found crystal-ball"):
        train(ingested, models=["ridge", "crystal-ball"])


def test_new_test_hours_ask_for_no_new_training(trained, publish, make_fields):
    publish(trained, make_fields(trained, 365)[360:], first=360)
    assert not any(report.created for report in train(trained))


def test_another_hour_of_the_training_period_asks_for_new_training(
    tmp_path, make_domain, publish, make_fields
):
    domain = make_domain(tmp_path)
    fields = make_fields(domain)
    publish(domain, fields, status=Status.PRELIMINARY)
    (first,) = train(domain, models=["climatology"])
    publish(domain, fields[5:6] + np.float32(1), first=5)
    (second,) = train(domain, models=["climatology"])
    assert second.created
    assert second.version != first.version


def test_too_short_a_period_is_refused_and_nothing_is_stored(
    tmp_path, make_domain, publish, make_fields
):
    domain = make_domain(tmp_path)
    publish(domain, make_fields(domain, 100))
    with pytest.raises(TrainingDataError, match="validation"):
        train(domain)
    assert not Workspace.of(domain).models.exists()


def test_a_network_with_yesterday_is_trained_however_long_after_the_archive_training_begins(
    tmp_path, make_domain, publish, make_fields
):
    looking_back = {
        "architecture": {"name": "convnet", "width": 3, "blocks": 1, "yesterday": True},
        "training": {"epochs": 1, "batch_size": 32},
    }
    domain = make_domain(
        tmp_path / "root",
        networks={"net": looking_back},
        split={
            "train": {"start": "2021-01-04", "end": "2021-01-09"},
            "validation": {"start": "2021-01-09", "end": "2021-01-12"},
            "test": {"start": "2021-01-12", "end": "2021-01-16"},
        },
    )
    publish(domain, make_fields(domain))
    (report,) = train(domain, models=["net"])
    assert report.created


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["persistence", "ridge"], r"in the training period 2021-01-01.* ridge .*split\.train"),
        (["plain", "back"], r"usable analyses at \d+ times in a row .*architecture\.yesterday"),
    ],
    ids=["ridge", "network"],
)
def test_a_first_guess_without_a_history_is_refused_before_any_fit(
    tmp_path, make_domain, publish, make_fields, monkeypatch, models, message
):
    """One day: nothing in it has a day before it; what could be fitted is asked for first."""
    plain = {"architecture": {"name": "convnet", "width": 3, "blocks": 1}}
    back = {"architecture": {**plain["architecture"], "yesterday": True}}
    domain = make_domain(
        tmp_path / "root",
        networks={"plain": plain, "back": back},
        split={
            "train": {"start": "2021-01-01", "end": "2021-01-02"},
            "validation": {"start": "2021-01-03", "end": "2021-01-05"},
            "test": {"start": "2021-01-06", "end": "2021-01-08"},
        },
    )
    publish(domain, make_fields(domain))
    monkeypatch.setattr(fitting, "build_training_archive", lambda *_: pytest.fail("began"))
    with pytest.raises(TrainingDataError, match=message):
        train(domain, models=models)


def test_a_fit_that_diverges_is_refused_and_nothing_is_stored(ingested):
    wild = with_training(ingested, learning_rate=1e30, gradient_clip=None)
    with pytest.raises(ModelError, match=r"Expected a finite loss, found (nan|inf).*2021-01-0"):
        train(wild, models=["net"])
    assert version_of(ingested) is None


def test_two_fits_of_one_version_do_not_interleave(ingested, trained, monkeypatch):
    monkeypatch.setattr(fitting, "writer_lease", partial(writer_lease, timeout_s=0.1))
    work = Workspace.of(ingested).work / "training" / version_of(trained, "ridge").version
    with writer_lease(work), pytest.raises(ArchiveBusyError):
        train(ingested, models=["ridge"])


def test_prepare_builds_one_archive_a_scaling(ingested):
    network = ingested.networks["net"].model_copy(update={"scaling": "min-max-11"})
    domain = ingested.model_copy(update={"networks": {"net": network}})
    assert [archive.scaling for archive in prepare(domain)] == ["min-max-11", "standard"]
    assert [archive.path for archive in prepare(domain)] == [
        archive.path for archive in prepare(domain)
    ]


TRAIN = """
import os, signal, sys
from lsntp.config import load_domain
from lsntp.training import train

rename = os.rename

def killing(source, target):
    after = sys.argv[2] == "after"
    if after:
        rename(source, target)
    if "/models/" in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    if not after:
        rename(source, target)

os.rename = killing
train(load_domain(sys.argv[1]), models=["net"])
"""


@pytest.mark.parametrize("moment", ["before", pytest.param("after", marks=pytest.mark.slow)])
def test_a_process_killed_while_it_stores_its_version_is_completed(ingested, trained, moment):
    """Around the rename that makes the version: all epochs are done, the checkpoints are there."""
    path = Path(ingested.root) / "small.yaml"
    path.write_text(ingested.to_yaml())
    killed = subprocess.run([sys.executable, "-c", TRAIN, path, moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(Workspace.of(ingested).work.rglob("*.ckpt"))
    assert (version_of(ingested) is None) == (moment == "before")
    (report,) = train(ingested, models=["net"])
    assert report.created == (moment == "before")
    assert_equal_tensors(version_of(ingested), version_of(trained))
    assert not list(Workspace.of(ingested).work.rglob("*.ckpt"))
    assert not list(Workspace.of(ingested).models.glob(".*"))


@pytest.mark.slow
def test_a_training_process_killed_again_and_again_is_completed_by_the_last(ingested):
    undisturbed = with_training(ingested, epochs=6)
    killed = undisturbed.model_copy(update={"root": f"{ingested.root}-killed"})
    shutil.copytree(ingested.root, killed.root)
    (report,) = train(undisturbed, models=["net"])

    path = Path(killed.root) / "small.yaml"
    path.write_text(with_training(killed, checkpoint_minutes=1e-9).to_yaml())
    code = (
        "import sys; from lsntp.config import load_domain; from lsntp.training import train; "
        "train(load_domain(sys.argv[1]), models=['net'])"
    )
    checkpoints = Workspace.of(killed).work / "training" / report.version / "checkpoints"
    for number in (3, 10, 25):  # of 36 steps and 6 validations
        with subprocess.Popen([sys.executable, "-c", code, str(path)]) as process:
            deadline = time.monotonic() + 120
            while not any(int(found.name[:8]) >= number for found in checkpoints.glob("*.ckpt")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert version_of(killed) is None
    (repeated,) = train(killed, models=["net"])
    assert repeated.version == report.version
    assert_equal_tensors(version_of(killed), version_of(undisturbed))
