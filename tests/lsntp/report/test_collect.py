import dataclasses
import shutil

import numpy as np
import pytest
import xarray as xr

from lsntp.config import NetworkConfig
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import skill_table
from lsntp.forecasting import forecast
from lsntp.report.collect import _network_version, collect
from lsntp.report.history import collect_histories
from lsntp.report.page import snippet
from lsntp.times import Period
from lsntp.training import train
from lsntp.training.champion import promote
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace


@pytest.fixture(scope="module")
def data(scored):
    return collect(scored, skill_table(scored))


def test_every_model_is_compared_and_traced(scored, data):
    table = data.table
    assert set(table.models) == set(scored.model_names)

    assert data.coverage.is_complete
    facts = {fact.label: fact.value for fact in data.facts}
    for versions in table.versions.values():
        assert all("training data" in facts[name] for name in versions)


def test_the_network_and_the_winner_are_shown_from_the_last_initial_time(data):
    shown = {(case.model, case.init_time) for case in data.cases}
    assert ("net", data.table.init_times[-1]) in shown
    assert (data.table.winner, data.table.init_times[-1]) in shown
    for case in data.cases:
        assert np.isfinite(case.forecast).all()
        assert np.isfinite(case.truth).all()


def test_the_mean_of_an_error_map_is_the_score(data):
    winner, table = data.error_maps[0], data.table
    assert winner.model == table.winner
    assert winner.mae.mean() == pytest.approx(table.score(table.winner, "mae", weighting="plain"))
    assert winner.bias.mean() == pytest.approx(table.score(table.winner, "bias", weighting="plain"))


def test_links_are_the_column_of_the_cell_of_the_place(scored, data):
    assert data.links.cell == (3, 3)  # 47 N, 3 E on rows from 50 N and columns from 0 E
    embedding = latest_version(Workspace.of(scored).models, "net").tensors()["network.E"]
    likeness = np.exp(np.maximum(embedding @ embedding.T, 0).astype(np.float64))
    adjacency = likeness / likeness.sum(axis=1, keepdims=True)
    column = adjacency[:, 3 * 8 + 3].reshape(6, 8)
    np.testing.assert_allclose(data.links.weights, column, rtol=1e-5)
    assert data.links.weights.sum() != pytest.approx(1.0, abs=1e-6)  # a row would


def test_the_nodes_of_a_halved_network_stand_on_the_cells_between(ingested):
    """A 3 x 3 kernel with stride 2 has its middle on every second cell, from the second on."""
    network = ingested.networks["net"]
    halved = network.architecture.model_copy(update={"downsample": True})
    domain = ingested.model_copy(
        update={
            "networks": {"net": network.model_copy(update={"architecture": halved})},
            "place": (47.0, 3.0),
            "bootstrap_samples": 100,
        }
    )
    train(domain)
    forecast(domain, period=Period.parse("2021-01-12", "2021-01-13"))
    evaluate(domain)
    links = collect(domain, skill_table(domain)).links
    assert links.grid.latitude.tolist() == [49.0, 47.0, 45.0]
    assert links.grid.longitude.tolist() == [1.0, 3.0, 5.0, 7.0]
    assert links.cell == (1, 1)
    assert links.weights.shape == (3, 4)


def test_the_five_lines_of_the_report_run(data, capsys):
    exec(snippet(data), {})
    assert "days" in capsys.readouterr().out


def test_readers_are_sent_to_the_champion_where_there_is_one(scored, tmp_path, capsys):
    shutil.copytree(scored.root, tmp_path / "root")
    domain = scored.model_copy(update={"root": str(tmp_path / "root")})
    assert collect(domain, skill_table(domain)).forecast_path.endswith("net.zarr")
    version = latest_version(Workspace.of(domain).models, "ridge").version
    promote(domain, version, by="test", reason="test")
    forecast(domain, models=["champion"], latest=True)
    data = collect(domain, skill_table(domain))
    assert data.forecast_path == str(Workspace.of(domain).forecast("champion"))
    exec(snippet(data), {})
    assert "days" in capsys.readouterr().out
    (first, *_) = collect_histories(domain)
    assert (first.model, first.now) == ("champion", version)


def test_the_worst_case_has_the_largest_error(data):
    errors = {case.title: np.abs(case.forecast - case.truth).mean() for case in data.cases}
    assert errors["net, its worst forecast"] == max(
        error for title, error in errors.items() if title.startswith("net,")
    )


def test_correlations_are_those_of_a_network_that_learns_them(scored):
    table = skill_table(scored)
    plain = NetworkConfig.model_validate({"architecture": {"name": "convnet"}})
    domain = scored.model_copy(update={"networks": {"plain": plain, **scored.networks}})
    ahead = dataclasses.replace(
        table,
        scores=xr.concat(
            [table.scores.isel(model=[0]).assign_coords(model=["plain"]), table.scores], "model"
        ),
        kinds=table.kinds | {"plain": "network"},
        versions=table.versions | {"plain": ("plain-0123456789ab",)},
    )
    assert ahead.models[0] == "plain"  # the best of all, and without a graph
    assert _network_version(domain, ahead).model == "net"


def test_without_a_place_there_are_no_links(scored):
    nowhere = collect(scored.model_copy(update={"place": None}), skill_table(scored))
    assert nowhere.links is None
    assert "names no place" in nowhere.links_note


def test_a_version_that_is_no_longer_stored_is_said_to_be_gone(scored, tmp_path):
    shutil.copytree(scored.root, tmp_path / "root")
    domain = scored.model_copy(update={"root": str(tmp_path / "root")})
    for version in Workspace.of(domain).models.glob("net-*"):
        shutil.rmtree(version)
    data = collect(domain, skill_table(domain))
    assert data.links is None
    assert "no learned correlations to show" in data.links_note
    facts = {fact.label: fact.value for fact in data.facts}
    assert "no longer stored" in facts[data.table.versions["net"][0]]


def test_a_version_that_has_seen_the_truth_it_is_compared_with_is_said_to(scored, tmp_path):
    shutil.copytree(scored.root, tmp_path / "root")
    scored = scored.model_copy(update={"root": str(tmp_path / "root")})
    name = latest_version(Workspace.of(scored).models, "net").version
    assert (
        "no test"
        not in {f.label: f.value for f in collect(scored, skill_table(scored)).facts}[name]
    )
    earlier = {  # as after moving the blocks back: the version was validated until 12 January
        "train": {"start": "2021-01-01", "end": "2021-01-05"},
        "validation": {"start": "2021-01-05", "end": "2021-01-09"},
        "test": {"start": "2021-01-09", "end": "2021-01-16"},
    }
    split = scored.split.model_validate(earlier)
    forecast(scored, period=Period.parse("2021-01-11", "2021-01-12"))
    evaluate(scored)
    later = scored.model_copy(update={"split": split})
    moved = collect(later, skill_table(later))
    # of the 24 initial times of the 11th the last one has its first truth on the 12th
    assert moved.table.seen == 23
    assert "no test" in {f.label: f.value for f in moved.facts}[name]
