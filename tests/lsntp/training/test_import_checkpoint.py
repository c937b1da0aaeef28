"""The authors' .pth as a model version: whole, refused with every reason, never executed."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.models.lsntp import LSNTP
from lsntp.models.official import to_official
from lsntp.training import load_forecaster
from lsntp.training.history import open_analysis
from lsntp.training.import_checkpoint import import_checkpoint, read_checkpoint
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace
from tests.lsntp.models.slow_reference import Reference

SETTINGS = {
    "architecture": {"configuration": "official", "hidden": 2, "embedding": 3},
    "target": "absolute",
    "scaling": "min-max-01",
}


@pytest.fixture
def domain(tmp_path, make_domain, publish, make_fields):
    """The small domain with analyses and an untrained official network, 4 -> 4 hours."""
    made = make_domain(tmp_path / "root", networks={"authors": SETTINGS}, horizon=4)
    publish(made, make_fields(made))
    return made


def _their_state(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    architecture = LsntpConfig(configuration="official", hidden=2, embedding=3)
    network = LSNTP(architecture, shape=(6, 8), history=4, horizon=4)
    return to_official(network, network.state_dict())


def _wrapped(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As the authors' ERA5 files: three entries, DataParallel's names."""
    return {
        "epoch": 66,
        "model": {f"module.{name}": tensor for name, tensor in state.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "params": [0, 1]}]},
    }


@pytest.mark.parametrize("wrap", [dict, _wrapped], ids=["bare", "wrapped"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
def test_a_checkpoint_becomes_a_version_that_forecasts(domain, tmp_path, wrap, zipped):
    state = _their_state()
    path = tmp_path / "authors.pth"
    torch.save(wrap(state), path, _use_new_zipfile_serialization=zipped)
    version = import_checkpoint(domain, path, "authors")

    assert version.model == "authors"
    assert latest_version(Workspace.of(domain).models, "authors").version == version.version
    assert len(version.scores["mae_k"]) == 4
    forecaster = load_forecaster(version, domain)
    times = open_analysis(domain).times[200:204]
    history = open_analysis(domain).read(times)[None]
    found = forecaster.forecast(history, times[-1:])

    low, high = version.statistics["minimum"], version.statistics["maximum"]
    network = forecaster.network.double()
    switches = {name: getattr(network.architecture, name) for name in LsntpConfig.model_fields}
    sample = torch.from_numpy((history[0].astype(np.float64) - low) / (high - low))[:, None]
    expected = Reference(switches, network.state_dict()).forecast(sample, 4)[:, 0].detach()
    np.testing.assert_allclose(found[0], low + (high - low) * expected.numpy(), atol=1e-3)
    kept = to_official(network, network.state_dict())
    assert all(torch.equal(kept[name].float(), state[name]) for name in state)


def test_the_files_of_the_authors_layout_are_read(shared_data):
    folder = shared_data / "official_lsntp"
    bare = read_checkpoint(folder / "checkpoint_ncep_style.pth")
    wrapped = read_checkpoint(folder / "checkpoint_era5_style.pth")
    assert len(bare) == 59
    assert len(wrapped) == 61
    assert all(name.startswith("module.") for name in wrapped)


def test_importing_the_same_file_again_gives_the_same_version(domain, tmp_path):
    path = tmp_path / "authors.pth"
    torch.save(_their_state(), path)
    first = import_checkpoint(domain, path, "authors", score=False)
    assert first.scores == {"windows": 0}
    assert import_checkpoint(domain, path, "authors").version == first.version
    torch.save(_their_state(seed=1), path)
    assert import_checkpoint(domain, path, "authors", score=False).version != first.version


# --- hostile files -------------------------------------------------------------------------


class _Hostile:
    """Unpickling it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def _as_zip(content: object, path: Path) -> None:
    torch.save(content, path)


def _as_older_format(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _as_bare_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("write", [_as_zip, _as_older_format, _as_bare_pickle])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "beside the weights"])
def test_a_file_that_wants_to_run_code_is_refused_and_nothing_runs(domain, tmp_path, write, inside):
    marker, path = tmp_path / "executed", tmp_path / "hostile.pth"
    hostile = _Hostile(marker)
    write({"model": _their_state(), "epoch": hostile} if inside else hostile, path)
    with pytest.raises(ModelError, match="nothing in it was executed"):
        import_checkpoint(domain, path, "authors")
    assert not marker.exists()
    assert latest_version(Workspace.of(domain).models, "authors") is None
    # the same file does run its command where it is trusted: the test can fail
    torch.load(path, weights_only=False) if write is not _as_bare_pickle else pickle.loads(
        path.read_bytes()
    )
    assert marker.exists()


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole, path = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save(_their_state(), whole)
    content = whole.read_bytes()
    for share in np.linspace(0, 0.999, 25):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ModelError, match=r"cut\.pth"):
            read_checkpoint(path)


def test_a_zip_that_unfolds_is_refused_unread(tmp_path):
    whole, path = tmp_path / "whole.pth", tmp_path / "packed.pth"
    torch.save({"node_embeddings": torch.zeros(10**6)}, whole)
    with (
        zipfile.ZipFile(whole) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in source.infolist():
            packed.writestr(member.filename, source.read(member))
    assert path.stat().st_size < whole.stat().st_size / 100
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "found list"),
        ({"model": "a text"}, "a state dict of tensors by name"),
        ({1: torch.zeros(2)}, "a state dict of tensors by name"),
        ({"epoch": 3}, "found no tensor under epoch"),
        ({}, "found no tensor under nothing"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ModelError, match=message):
        read_checkpoint(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="found none"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="another kind"):
        read_checkpoint(tmp_path)
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(ModelError, match=r"text\.pth"):
        read_checkpoint(tmp_path / "text.pth")


# --- what does not fit ---------------------------------------------------------------------


def test_tensors_that_do_not_fit_are_named_together(domain, tmp_path):
    state = _their_state()
    del state["decoder.conv2d.bias"]
    state["extra"] = torch.zeros(1)
    state["node_embeddings"] = torch.zeros(48, 4)
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(ModelError) as caught:
        import_checkpoint(domain, path, "authors")
    for part in (
        "decoder.conv2d.bias missing",
        "extra not expected",
        "node_embeddings expected (48, 3), found (48, 4)",
    ):
        assert part in str(caught.value)
    assert not list(Workspace.of(domain).models.glob("*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "increment"}, "target absolute, found increment"),
        ({"scaling": "standard"}, "scaling min-max-01, found standard"),
        ({"members": 3}, "members 1, found 3"),
        ({"quantiles": True}, "quantiles false, found true"),
        (
            {"architecture": {"hidden": 2, "embedding": 3}},
            "convolution joint, found separate.*official",
        ),
    ],
)
def test_a_network_set_up_otherwise_is_refused_and_nothing_stored(
    tmp_path, make_domain, publish, make_fields, changes, message
):
    networks = {"authors": {**SETTINGS, **changes}}
    other = make_domain(tmp_path / "root", networks=networks, horizon=4)
    publish(other, make_fields(other))
    path = tmp_path / "authors.pth"
    torch.save(_their_state(), path)
    with pytest.raises(ModelError, match=message):
        import_checkpoint(other, path, "authors")
    assert not list(Workspace.of(other).models.glob("*"))


def test_an_unknown_network_is_refused(domain, tmp_path):
    with pytest.raises(ModelError, match=r"authors\), found 'lsntp'"):
        import_checkpoint(domain, tmp_path / "any.pth", "lsntp")


def test_the_command_prints_where_the_version_is(domain, tmp_path):
    state, file = tmp_path / "authors.pth", tmp_path / "small.yaml"
    torch.save(_their_state(), state)
    file.write_text(domain.to_yaml())
    arguments = ["import-checkpoint", str(file), str(state), "--model", "authors"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    version = latest_version(Workspace.of(domain).models, "authors")
    assert str(version.path) in result.output
    assert "MAE" in result.output
