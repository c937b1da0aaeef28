"""Going on from a version: what it may be, and what is refused."""

import pytest

from lsntp.errors import ModelError
from lsntp.training import train
from tests.lsntp.training.trained_domains import assert_equal_tensors, version_of, with_training


def test_fine_tuning_starts_from_the_parent_and_names_it(trained):
    parent = version_of(trained)
    frozen = with_training(trained, learning_rate=1e-30, epochs=1)
    (report,) = train(frozen, fine_tune_from=parent.version)
    tuned = version_of(trained)
    assert report.created
    assert tuned.version == report.version != parent.version
    assert tuned.provenance.recipe.parent == parent.version
    assert_equal_tensors(tuned, parent)


def test_fine_tuning_from_what_has_seen_the_test_period_is_refused(trained):
    earlier = {
        "train": {"start": "2021-01-01", "end": "2021-01-05"},
        "validation": {"start": "2021-01-05", "end": "2021-01-08"},
        "test": {"start": "2021-01-08", "end": "2021-01-16"},
    }
    moved = trained.model_copy(update={"split": trained.split.model_validate(earlier)})
    parent = version_of(trained).version
    with pytest.raises(ModelError, match=r"not seen the test period 2021-01-08.*on 2021-01-01"):
        train(moved, fine_tune_from=parent)
    assert version_of(trained).version == parent


def split_of(domain, train, validation, test):
    blocks = {"train": train, "validation": validation, "test": test}
    split = {
        name: dict(zip(("start", "end"), block, strict=True)) for name, block in blocks.items()
    }
    return domain.model_copy(update={"split": domain.split.model_validate(split)})


def test_fine_tuning_from_what_was_trained_on_the_validation_period_is_refused(trained):
    parent = version_of(trained).version  # trained on 1 to 9 January, validated to the 12th
    moved = split_of(
        trained,
        ("2021-01-01", "2021-01-03"),
        ("2021-01-03", "2021-01-06"),
        ("2021-01-12", "2021-01-16"),
    )
    with pytest.raises(ModelError, match=r"not trained on the validation period 2021-01-03.*net-"):
        train(moved, fine_tune_from=parent)
    assert version_of(trained).version == parent


def test_fine_tuning_looks_at_every_ancestor(trained):
    first = version_of(trained).version
    quick = with_training(trained, epochs=1)
    later = split_of(
        quick,
        ("2021-01-09", "2021-01-11"),
        ("2021-01-11", "2021-01-12"),
        ("2021-01-12", "2021-01-16"),
    )
    (second,) = train(later, fine_tune_from=first)  # has itself seen nothing before the 9th
    back = split_of(
        quick,
        ("2021-01-01", "2021-01-05"),
        ("2021-01-05", "2021-01-08"),
        ("2021-01-12", "2021-01-16"),
    )
    with pytest.raises(ModelError, match=rf"validation period 2021-01-05.*{first}"):
        train(back, fine_tune_from=second.version)


@pytest.mark.parametrize("changes", [{"scaling": "min-max-01"}, {"target": "absolute"}])
def test_fine_tuning_to_another_scaling_or_target_is_refused(trained, changes):
    network = trained.networks["net"].model_copy(update=changes)
    other = trained.model_copy(update={"networks": {"net": network}})
    ((key, value),) = changes.items()
    with pytest.raises(ModelError, match=rf"parent's {key} \w+, found {value}"):
        train(other, fine_tune_from=version_of(trained).version)


def test_fine_tuning_on_another_grid_is_refused(trained, make_domain):
    parent = version_of(trained)
    grid = trained.grid.model_copy(update={"east": 9.0})
    with pytest.raises(ModelError, match=r"grid 6 x 10 cells.*found 6 x 8 cells"):
        train(trained.model_copy(update={"grid": grid}), fine_tune_from=parent.version)


def with_architecture(domain, **changes):
    """The domain whose network has other switches."""
    network = domain.networks["net"]
    dumped = network.model_dump(mode="json")
    dumped["architecture"] = dumped["architecture"] | changes
    return domain.model_copy(update={"networks": {"net": type(network).model_validate(dumped)}})


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 3},  # other shapes
        {"gate_activation": "relu"},  # and from here on the same ones
        {"reach_km": 200.0},
        {"reach_km": 200.0, "gate_activation": "relu"},
    ],
)
def test_fine_tuning_to_another_architecture_names_the_differing_keys(trained, changes):
    before = {"hidden": 2, "gate_activation": "none", "reach_km": "all"}
    with pytest.raises(ModelError, match=r"the parent's architecture\.") as caught:
        train(with_architecture(trained, **changes), fine_tune_from=version_of(trained).version)
    for key, value in changes.items():
        assert f"architecture.{key} {before[key]}, found {value}" in str(caught.value)
    assert str(caught.value).count(", found ") == len(changes)


def test_fine_tuning_to_another_kind_of_network_is_refused(trained):
    network = trained.networks["net"].model_dump(mode="json", exclude={"architecture", "target"})
    plain = {"architecture": {"name": "convnet"}}
    other = type(trained.networks["net"]).model_validate(network | plain)
    domain = trained.model_copy(update={"networks": {"net": other}})
    with pytest.raises(ModelError, match=r"architecture\.name lsntp, found convnet"):
        train(domain, fine_tune_from=version_of(trained).version)


@pytest.mark.parametrize("changes", [{"gain": 3.0}, {"climatology": "level"}, {"residual": False}])
def test_fine_tuning_of_plus_keeps_what_its_numbers_mean_but_not_its_dropout(trained, changes):
    small = {"hidden": 2, "embedding": 2, "stem": 1, "width": 2, "context": 1, "nodes": 1}
    quick = with_training(trained, epochs=1)
    network = quick.networks["net"].model_dump(mode="json", exclude={"target"})
    plus = {"name": "lsntp", "configuration": "plus", **small}
    network = type(quick.networks["net"]).model_validate(network | {"architecture": plus})
    domain = quick.model_copy(update={"networks": {"net": network}})
    (parent,) = train(domain, models=["net"])
    ((key, value),) = changes.items()
    message = rf"parent's architecture\.{key} \S+, found {str(value).lower()}: the weights"
    with pytest.raises(ModelError, match=message):
        train(with_architecture(domain, **changes), fine_tune_from=parent.version)
    (tuned,) = train(with_architecture(domain, dropout=0.5), fine_tune_from=parent.version)
    assert tuned.created


@pytest.mark.parametrize("models", [["ridge"], ["net", "persistence"]])
def test_baselines_cannot_be_fine_tuned(trained, models):
    with pytest.raises(ModelError, match="have no weights to start from"):
        train(trained, models=models, fine_tune_from=version_of(trained).version)
