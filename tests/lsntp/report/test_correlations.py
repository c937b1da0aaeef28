"""Learned beside measured correlations: the numbers, the figure, the command."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from flows.cli import app
from lsntp.archives.analysis import AnalysisArchive
from lsntp.errors import ConfigError, DomainError, ModelError, StorageError, TrainingDataError
from lsntp.names import Status
from lsntp.report.correlation_figure import write_correlations
from lsntp.report.correlations import correlations, pearson
from lsntp.report.publish import publish_pages
from lsntp.times import Period, parse_time
from lsntp.training import load_forecaster
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace

SVG = "{http://www.w3.org/2000/svg}"
PLACE = (47.2, 3.4)  # row 3, column 3 of 50…45 N, 0…7 E


def _train_period(domain):
    return Period(parse_time("2021-01-01"), parse_time("2021-01-09"))


def test_pearson_equals_numpys_whatever_the_block(ingested):
    archive = AnalysisArchive.open(Workspace.of(ingested).analysis)
    fields = archive.read(archive.times[: 8 * 24]).astype(np.float64)
    flat = fields.reshape(192, -1)
    expected = np.corrcoef(flat, rowvar=False)[3 * 8 + 3].reshape(6, 8)
    for frames in (None, 7, 191):
        found, count = pearson(archive, _train_period(ingested), (3, 3), frames=frames)
        assert count == 192
        np.testing.assert_allclose(found, expected, atol=1e-9)
    assert expected.min() < 0.99  # not everything moves together


def test_pearson_leaves_out_what_is_not_usable(tmp_path, make_domain, make_fields, publish):
    domain = make_domain(tmp_path)
    fields = make_fields(domain, 192)
    archive = publish(domain, fields[:50])
    publish(domain, fields[60:], first=60)
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    assert (archive.status == Status.MISSING).sum() == 10
    kept = np.concatenate([fields[:50], fields[60:]]).reshape(182, -1)
    found, count = pearson(archive, _train_period(domain), (0, 0))
    assert count == 182
    np.testing.assert_allclose(found.ravel(), np.corrcoef(kept, rowvar=False)[0], atol=1e-6)


def test_pearson_worked_by_hand_and_nan_where_nothing_moves(tmp_path, make_domain, publish):
    domain = make_domain(tmp_path)
    fields = np.full((192, 6, 8), 280.0, np.float32)
    fields[::2, 0, 0] += 1
    fields[::2, 0, 1] += 3  # moves with it
    fields[1::2, 0, 2] += 2  # moves against it
    fields[::4, 0, 3] += 1  # with it every second time: 1/√3
    publish(domain, fields)
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    found, _ = pearson(archive, _train_period(domain), (0, 0))
    np.testing.assert_allclose(found[0, :4], [1, 1, -1, 3**-0.5], atol=1e-12)
    assert np.isnan(found[1:]).all()


def test_a_single_analysis_correlates_with_nothing(tmp_path, make_domain, make_fields, publish):
    domain = make_domain(tmp_path)
    publish(domain, make_fields(domain, 1))
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    with pytest.raises(TrainingDataError, match="at least two usable analyses"):
        pearson(archive, _train_period(domain), (0, 0))


def test_the_column_is_that_of_the_learned_adjacency(trained):
    found = correlations(trained, PLACE)
    network = load_forecaster(latest_version(Workspace.of(trained).models, "net"), trained).network
    scores = np.maximum(network.E.detach().numpy() @ network.E.detach().numpy().T, 0)
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert found.cell == found.node == (3, 3)
    np.testing.assert_allclose(found.adjacency.ravel(), weights[:, 3 * 8 + 3], rtol=1e-5)
    assert found.model == "net"
    assert found.correlation[3, 3] == pytest.approx(1.0)


def test_figure_and_numbers_are_written_and_agree(trained, tmp_path):
    found = correlations(trained, PLACE, "net")
    figure, numbers = write_correlations(found, tmp_path / "new" / "city.svg")
    assert sorted(path.name for path in figure.parent.iterdir()) == ["city.nc", "city.svg"]
    with xr.open_dataset(numbers) as dataset:
        np.testing.assert_array_equal(dataset["adjacency"], found.adjacency)
        np.testing.assert_array_equal(dataset["correlation"], found.correlation)
        assert dataset.attrs["model_version"] == found.version
        assert dataset.attrs["cell_latitude"] == 47.0
        assert dataset.attrs["synthetic"] == "true"
        assert dataset["correlation"].sel(latitude=47, longitude=3) == pytest.approx(1.0)
    root = ET.fromstring(figure.read_text("utf-8"))
    images = root.findall(f".//{SVG}image")
    assert len(images) == 2
    for image in images:
        content = base64.b64decode(image.get("href").removeprefix("data:image/png;base64,"))
        pixels = matplotlib.image.imread(io.BytesIO(content))
        assert pixels.shape == (6, 8, 4)
        assert pixels[3, 3, 3] == 0  # the place itself is left out
        assert (pixels[..., 3] == 1).sum() == 47
    texts = " ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))
    for part in ("Learned by net", "Pearson", found.version, "Synthetic data", "2021-01-01"):
        assert part in texts
    assert "Infinity" not in figure.read_text("utf-8")
    assert "nan" not in figure.read_text("utf-8").split("<image")[0]


def test_a_full_disk_keeps_the_older_figure(trained, tmp_path, small_files):
    folder = tmp_path / "figure"
    found = correlations(trained, PLACE, "net")
    for path in write_correlations(found, folder / "city.svg"):
        path.write_bytes(b"older")
    small_files(1000)
    with pytest.raises(StorageError, match="File too large"):
        write_correlations(found, folder / "city.svg")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "city.nc": b"older",
        "city.svg": b"older",
    }


def test_a_downsampled_network_is_drawn_on_its_nodes(ingested, make_domain):
    from lsntp.report.correlation_figure import draw_correlations
    from lsntp.training import train

    networks = {
        "coarse": {
            "architecture": {"hidden": 1, "embedding": 2, "downsample": True},
            "training": {"epochs": 1, "batch_size": 64},
        }
    }
    domain = make_domain(ingested.root, networks=networks)
    train(domain, models=["coarse"])
    found = correlations(domain, (45.0, 7.0))  # the last row and column
    assert found.cell == (5, 7)
    assert found.node == (2, 3)
    assert found.adjacency.shape == (3, 4)
    np.testing.assert_array_equal(found.node_grid.latitude, [49, 47, 45])
    np.testing.assert_array_equal(found.node_grid.longitude, [1, 3, 5, 7])
    drawn = draw_correlations(correlations(domain, (46.0, 6.0)))  # between nodes
    assert "Learned by coarse" in drawn
    assert re.search(r"for the node at 4[57]° N, [57]° E,", drawn)
    assert "Pearson correlation with 46° N, 6° E" in drawn


def test_what_cannot_be_drawn_is_refused(trained, tmp_path):
    with pytest.raises(DomainError, match=r"found 20,3.4; give it as latitude,longitude"):
        correlations(trained, (20.0, 3.4))
    with pytest.raises(ModelError, match=r"\(net\), found 'ridge'"):
        correlations(trained, PLACE, "ridge")
    with pytest.raises(ConfigError, match=r"ends in \.svg, found .*city\.png"):
        write_correlations(correlations(trained, PLACE), tmp_path / "city.png")


def test_a_network_that_learns_no_graph_is_passed_over(trained, make_domain):
    """Both have a version, and the one without a graph stands first in the domain's file."""
    from lsntp.training import train

    content = trained.model_dump(mode="json")["networks"]
    plain = {"name": "convnet", "width": 2, "blocks": 1}
    first = {"plain": {"architecture": plain, "training": {"epochs": 1, "batch_size": 64}}}
    domain = make_domain(trained.root, networks=first | content)
    train(domain, models=["plain"])
    assert correlations(domain, PLACE).model == "net"
    with pytest.raises(ModelError, match="a network that learns an adjacency, found plain"):
        correlations(domain, PLACE, "plain")


def test_a_domain_without_a_trained_network_says_so(ingested):
    with pytest.raises(ModelError, match="run `lsntp train`"):
        correlations(ingested, PLACE)


def test_the_command_writes_where_it_is_told_and_beside_the_report(trained, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(trained.to_yaml())
    told = tmp_path / "out" / "map.svg"
    command = ["analyse", "correlations", str(file)]
    result = CliRunner().invoke(app, [*command, "--place", "47.2,3.4", "-o", str(told)])
    assert result.exit_code == 0, result.output
    assert told.exists()
    assert told.with_suffix(".nc").exists()
    assert str(told) in result.output
    result = CliRunner().invoke(app, [*command, "--place", "47.2,3.4", "--model", "net"])
    assert result.exit_code == 0, result.output
    pages = Workspace.of(trained).report.parent
    for title in "123":
        publish_pages({"index.html": title}, pages)
    names = {path.name for path in pages.parent.iterdir()}
    name = "small-correlations-net-47.2-3.4"
    assert names >= {f"{name}.svg", f"{name}.nc"}  # reports that come later leave them
    result = CliRunner().invoke(app, [*command, "--place", "London"])
    assert isinstance(result.exception, ConfigError)
    result = CliRunner().invoke(app, command)
    assert "found neither" in str(result.exception)
