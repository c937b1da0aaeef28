import hashlib
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from lsntp.errors import ModelError, StorageError
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import (
    FILES,
    ModelVersion,
    check_tensors,
    latest_version,
    list_versions,
    open_version,
    save_version,
)
from lsntp.workspace import Workspace


@pytest.fixture
def folder(trained):
    return Workspace.of(trained).models


def resave(version, /, *, tensors=None, **changes):
    """Save a copy under changed provenance."""
    return save_version(
        version.path.parent,
        version.provenance.model_copy(update=changes),
        tensors=version.tensors() if tensors is None else tensors,
        config=(version.path / "config.yaml").read_text(),
        statistics=version.statistics,
        scores=version.scores,
    )


def overwrite(version, weights, *, reseal):
    """Replace the weights on disk as an attacker might, with or without a fitting digest."""
    (version.path / "model.safetensors").write_bytes(weights)
    if reseal:
        path = version.path / "provenance.json"
        content = json.loads(path.read_text())
        content["tensors_sha256"] = hashlib.sha256(weights).hexdigest()
        path.write_text(json.dumps(content))
    return ModelVersion.open(version.path)


def test_a_version_holds_its_five_files_and_nothing_else(folder):
    for version in list_versions(folder):
        assert sorted(path.name for path in version.path.iterdir()) == sorted(FILES)


def test_a_version_says_where_it_comes_from(trained, folder):
    provenance = latest_version(folder, "net").provenance
    assert provenance.recipe.training_period == ("2021-01-01T00:00Z", "2021-01-09T00:00Z")
    assert provenance.recipe.grid_digest == trained.target_grid.digest
    assert provenance.recipe.seed == 1
    assert provenance.is_synthetic
    assert provenance.durations_s["fit"] > 0
    assert latest_version(folder, "net").config["networks"]["net"]["target"] == "increment"


def test_every_model_of_the_domain_has_a_version(trained, folder):
    assert sorted(version.model for version in list_versions(folder)) == sorted(trained.model_names)


def test_latest_is_the_newest_by_time_of_making(folder):
    first = latest_version(folder, "persistence")
    later = first.provenance.created_at.replace(year=2100)
    earlier = first.provenance.created_at.replace(year=2000)
    newest = resave(first, version="persistence-000000000000", created_at=later)
    resave(first, version="persistence-ffffffffffff", created_at=earlier)
    assert latest_version(folder, "persistence").version == newest.version
    assert len(list_versions(folder, "persistence")) == 3


def test_no_version_is_none(folder, tmp_path):
    assert latest_version(folder, "unheard-of") is None
    assert latest_version(tmp_path / "nowhere", "persistence") is None


def test_a_stored_version_is_never_overwritten(folder):
    version = latest_version(folder, "ridge")
    before = {name: (version.path / name).read_bytes() for name in FILES}
    kept = resave(version, tensors={"other": np.zeros(3)})
    assert {name: (kept.path / name).read_bytes() for name in FILES} == before


def test_a_killed_save_leaves_no_version_and_is_swept(folder):
    version = latest_version(folder, "ridge")
    nobody = 2**22 + 1  # no process of Linux has so high a number
    leftover = folder / f".ridge-0123456789ab.{socket.gethostname()}.{nobody}.partial"
    shutil.copytree(version.path, leftover)
    (leftover / "provenance.json").unlink()
    assert len(list_versions(folder, "ridge")) == 1
    resave(version)
    assert not leftover.exists()


def test_a_failed_write_leaves_nothing_behind(folder, monkeypatch):
    version = latest_version(folder, "ridge")
    before = sorted(folder.iterdir())

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left.*run `lsntp train`"):
        resave(version, version="ridge-0123456789ab")
    assert sorted(folder.iterdir()) == before


def test_damaged_folders_are_passed_over_and_reported(folder, caplog):
    version = latest_version(folder, "ridge")
    (version.path / "scores.json").unlink()
    assert latest_version(folder, "ridge") is None
    assert "found no scores.json" in caplog.text


def test_a_renamed_version_is_refused(folder):
    version = latest_version(folder, "ridge")
    target = folder / "ridge-0123456789ab"
    version.path.rename(target)
    with pytest.raises(ModelError, match="must not be renamed"):
        open_version(folder, "ridge-0123456789ab")


@pytest.mark.parametrize("name", ["../../etc", "ridge", "ridge-0123456789ab", "/tmp", ""])
def test_names_that_are_no_version_are_refused_with_the_known_ones(folder, name):
    with pytest.raises(ModelError, match=r"persistence-.*lsntp train"):
        open_version(folder, name)


@pytest.mark.parametrize("model", ["ridge", "net"])
def test_one_flipped_bit_is_noticed(trained, folder, model):
    version = latest_version(folder, model)
    weights = bytearray((version.path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    damaged = overwrite(version, bytes(weights), reseal=False)
    with pytest.raises(ModelError, match=r"Expected SHA-256 .* changed or damaged"):
        load_forecaster(damaged, trained)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("statistics.json", '"frames_used": 192', '"frames_used": 191'),
        ("config.yaml", "hidden: 2", "hidden: 3"),
        ("scores.json", '"windows": ', '"windows": 1'),
    ],
)
def test_one_changed_character_of_what_decides_a_forecast_is_noticed(folder, name, old, new):
    path = latest_version(folder, "net").path
    text = (path / name).read_text()
    assert old in text
    (path / name).write_text(text.replace(old, new))
    changed = ModelVersion.open(path)
    with pytest.raises(ModelError, match=rf"Expected SHA-256 .*{name}.* changed or damaged"):
        getattr(changed, name.partition(".")[0])


def test_a_version_from_before_the_seal_of_its_other_files_still_loads(trained, folder):
    path = latest_version(folder, "net").path
    content = json.loads((path / "provenance.json").read_text())
    del content["files_sha256"]
    (path / "provenance.json").write_text(json.dumps(content))
    load_forecaster(ModelVersion.open(path), trained)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("reseal", [False, True])
@pytest.mark.parametrize("model", ["ridge", "net"])
def test_a_pickle_is_refused_unopened(trained, folder, tmp_path, model, reseal):
    trace = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(str(trace)))
    hostile = overwrite(latest_version(folder, model), bomb, reseal=reseal)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_forecaster(hostile, trained)
    assert not trace.exists()


@pytest.mark.parametrize("model", ["ridge", "net"])
def test_missing_extra_and_misshaped_tensors_are_all_named(trained, folder, model):
    version = latest_version(folder, model)
    tensors = version.tensors()
    gone, bent, *_ = sorted(tensors)
    del tensors[gone]
    tensors[bent] = np.zeros((1, 2, 3), np.float32)
    tensors["stranger"] = np.zeros(1, np.float32)
    damaged = overwrite(version, safetensors.numpy.save(tensors), reseal=True)
    with pytest.raises(ModelError) as caught:
        load_forecaster(damaged, trained)
    for fault in (
        f"{gone} missing",
        "stranger not expected",
        f"{bent} expected",
        "found (1, 2, 3)",
    ):
        assert fault in str(caught.value)


def test_tensors_that_are_not_finite_are_refused(tmp_path):
    found = {"a": np.array([1.0, np.nan]), "b": np.zeros(2)}
    with pytest.raises(ModelError, match="a holds values that are not finite"):
        check_tensors(found, {"a": (2,), "b": (2,)}, tmp_path)


@pytest.mark.parametrize("model", ["persistence", "net"])
def test_another_grid_history_horizon_or_cadence_is_refused(trained, folder, model):
    other = trained.model_copy(
        update={
            "grid": trained.grid.model_copy(update={"east": 9.0}),
            "history": 5,
            "horizon": 2,
            "cadence_h": 3.0,
        }
    )
    with pytest.raises(ModelError) as caught:
        load_forecaster(latest_version(folder, model), other)
    for difference in (
        "grid 6 x 10 cells, 50..45 N, 0..9 E, found 6 x 8 cells, 50..45 N, 0..7 E",
        "history 5, found 4",
        "horizon 2, found 3",
        "cadence_h 3, found 1",
        "run `lsntp train`",
    ):
        assert difference in str(caught.value)


@pytest.mark.parametrize("name", ["provenance.json", "statistics.json", "config.yaml"])
def test_unreadable_files_are_named(trained, folder, name):
    path = latest_version(folder, "net").path
    (path / name).write_text("{]")
    with pytest.raises(ModelError, match=name):
        load_forecaster(ModelVersion.open(path), trained)


def test_baselines_load_without_torch(trained):
    code = (
        "import sys; from lsntp.config import load_domain; "
        "from lsntp.training import latest_version, load_forecaster; "
        "from lsntp.workspace import Workspace; domain = load_domain(sys.argv[1]); "
        "load_forecaster(latest_version(Workspace.of(domain).models, 'ridge'), domain); "
        "assert not {'torch', 'lightning', 'prefect'} & sys.modules.keys()"
    )
    path = Workspace.of(trained).root / "small.yaml"
    path.write_text(trained.to_yaml())
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
