import shutil

import numpy as np
import pytest

from lsntp.errors import ModelError
from lsntp.training import fit_members, latest_version, train
from lsntp.training import versions as versions_module
from lsntp.training.fit_members import SEED_STEP
from lsntp.training.history import open_analysis, read_fields
from lsntp.training.loading import load_forecaster
from lsntp.workspace import Workspace


def with_net(domain, *, training=None, **changes):
    """The domain with its network changed."""
    network = domain.networks["net"]
    changes["training"] = network.training.model_copy(update=training or {})
    return domain.model_copy(update={"networks": {"net": network.model_copy(update=changes)}})


def version_of(domain):
    return latest_version(Workspace.of(domain).models, "net")


def weights_of(version, prefix="network."):
    tensors = version.tensors()
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


@pytest.fixture(scope="module")
def _pair_root(_trained_root, make_domain, tmp_path_factory):
    root = tmp_path_factory.mktemp("pair") / "root"
    shutil.copytree(_trained_root, root)
    train(with_net(make_domain(root), members=2), models=["net"])
    return root


@pytest.fixture
def pair(_pair_root, make_domain, tmp_path):
    """The small domain with an ensemble of two, trained."""
    shutil.copytree(_pair_root, tmp_path / "root")
    return with_net(make_domain(tmp_path / "root"), members=2)


def test_the_first_member_is_the_network_alone_and_the_second_that_of_another_seed(pair):
    both = version_of(pair)
    alone = with_net(pair, members=1, training={"seed": 1 + SEED_STEP})
    train(alone, models=["net"])
    expected = weights_of(version_of(alone))
    found = weights_of(both, "network.1.")
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    train(with_net(pair, members=1), models=["net"], force=True)
    for name, value in weights_of(version_of(pair)).items():
        np.testing.assert_array_equal(weights_of(both, "network.0.")[name], value, err_msg=name)


def test_the_forecast_is_the_mean_of_the_members(pair):
    forecaster = load_forecaster(version_of(pair), pair)
    analysis = open_analysis(pair)
    init_times = analysis.times[100:120]
    history = read_fields(analysis, init_times, forecaster.offsets)
    members = forecaster.members(history, init_times)
    assert members.shape == (20, 2, 3, 6, 8)
    assert np.abs(members[:, 0] - members[:, 1]).max() > 1e-3
    np.testing.assert_allclose(
        forecaster.forecast(history, init_times), (members[:, 0] + members[:, 1]) / 2, rtol=1e-6
    )


def test_one_member_keeps_the_name_of_a_version_from_before_there_were_any(trained):
    (report,) = train(with_net(trained, members=1, training={"freeze": ()}), models=["net"])
    assert not report.created
    settings = version_of(trained).provenance.recipe.settings
    assert "members" not in settings
    assert "freeze" not in settings["training"]


def test_members_are_counted_in_parameters_and_epochs(pair, trained):
    both, alone = version_of(pair), version_of(trained)
    assert both.provenance.parameters == 2 * alone.provenance.parameters
    assert both.scores["epochs"] == 2 * alone.scores["epochs"]


def test_a_kill_between_two_members_costs_none_that_is_finished(
    ingested, pair, make_domain, monkeypatch
):
    domain, fit = with_net(ingested, members=2), fit_members.fit_network
    begun = []

    def killed_before_the_second(*args, **options):
        begun.append(options["folder"].name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return fit(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fit_members, "fit_network", killed_before_the_second)
        with pytest.raises(KeyboardInterrupt):
            train(domain, models=["net"])
    assert begun == ["member-1", "member-2"]
    (report,) = train(domain, models=["net"])
    assert report.version == version_of(pair).version
    for name, value in weights_of(version_of(domain)).items():
        np.testing.assert_array_equal(weights_of(version_of(pair))[name], value, err_msg=name)
    work = Workspace.of(domain).work / "training" / report.version
    assert not list(work.rglob("*.ckpt"))
    assert {path.parent.name for path in work.rglob("metrics.csv")} == {"member-1", "member-2"}


def test_every_member_is_fine_tuned_from_its_own_and_more_of_them_in_turn(pair, monkeypatch):
    parent = version_of(pair)
    begun = []

    def begins(network, _):
        begun.append({name: value.numpy().copy() for name, value in network.state_dict().items()})

    monkeypatch.setattr(fit_members, "freeze", begins)
    three = with_net(pair, members=3, training={"epochs": 1})
    train(three, models=["net"], fine_tune_from=parent.version)
    assert version_of(three).provenance.recipe.parent == parent.version
    assert len(begun) == 3
    for start, number in zip(begun, (0, 1, 0), strict=True):
        for name, value in weights_of(parent, f"network.{number}.").items():
            np.testing.assert_array_equal(start[name], value, err_msg=name)
    child = weights_of(version_of(three))
    assert not np.array_equal(child["0.head.weight"], child["2.head.weight"])


def test_frozen_parts_stay_as_the_parent_has_them_and_others_learn(trained):
    parent = version_of(trained)
    first_part = next(iter(weights_of(parent))).split(".")[0]
    frozen = with_net(trained, training={"freeze": (first_part,), "learning_rate": 1e-3})
    train(frozen, models=["net"], fine_tune_from=parent.version)
    child = version_of(frozen)
    assert child.provenance.recipe.settings["training"]["freeze"] == [first_part]
    before, after = weights_of(parent), weights_of(child)
    kept = [name for name in before if name.split(".")[0] == first_part]
    assert kept
    for name in kept:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert any(not np.array_equal(after[name], before[name]) for name in before.keys() - set(kept))
    trained_numbers = sum(value.size for name, value in before.items() if name not in kept)
    assert child.provenance.parameters == trained_numbers


@pytest.mark.parametrize(
    ("parts", "message"),
    [(("nothing",), r"Expected in training\.freeze parts of the network \("), (None, "left to")],
)
def test_a_part_that_is_none_or_all_is_refused_before_the_fit(trained, monkeypatch, parts, message):
    parent = version_of(trained)
    everything = tuple({name.split(".")[0] for name in weights_of(parent)})
    domain = with_net(trained, training={"freeze": parts or everything})
    monkeypatch.setattr(fit_members, "fit_network", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(ModelError, match=message):
        train(domain, models=["net"], fine_tune_from=parent.version)


def test_freezing_without_a_parent_is_refused(ingested, monkeypatch):
    monkeypatch.setattr(versions_module, "save_version", lambda *_, **__: pytest.fail("stored"))
    with pytest.raises(ModelError, match=r"Expected a version to fine-tune"):
        train(with_net(ingested, training={"freeze": ("head",)}), models=["net"])
