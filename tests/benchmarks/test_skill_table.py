"""What the rows of the skill table are, and what it says of time; no network is fitted."""

from pathlib import Path

import numpy as np
import pytest

from lsntp.config import NetworkConfig, load_domain
from tests.benchmarks.skill_rows import CASES, Case, network_of
from tests.benchmarks.skill_table import Bench, Result, paired_losses

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.domain)


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSNTP_DATA", "/nowhere")


def networks(case: Case, seed: int = 1) -> dict[str, NetworkConfig]:
    domain = load_domain(case.domain)
    return {row.name: network_of(domain, row, seed=seed, epochs=case.epochs) for row in case.rows}


@each_case
def test_every_row_is_a_network_of_its_own(case: Case) -> None:
    made = networks(case)

    assert len(made) == len(case.rows)
    assert len({network.model_dump_json() for network in made.values()}) == len(case.rows)


@each_case
def test_a_row_is_plus_but_for_its_one_change_and_trained_alike(case: Case) -> None:
    made = networks(case)
    plus = made["plus"]

    for row in case.rows:
        network = made[row.name]
        if not row.recipe:
            assert network.training == plus.training, row.name
        if row.base == "lsntp-plus":
            changed = {
                name
                for part in ("architecture", "training")
                for name, value in getattr(network, part)
                if value != getattr(getattr(plus, part), name)
            }
            assert changed == {*row.change, *row.recipe}, row.name


@each_case
def test_another_seed_is_the_same_but_for_it(case: Case) -> None:
    first, second = networks(case, 1), networks(case, 2)

    for name, network in first.items():
        again = network.training.model_copy(update={"seed": 2})
        assert second[name] == network.model_copy(update={"training": again})


@pytest.mark.parametrize(
    ("validation", "minutes"),
    [
        ([2.0, 1.04, 1.0], 2.0),  # within 1.05 from the second epoch on
        ([1.04, 2.0, 1.0], 4.0),  # and once more without it
        ([1.0, 1.0, 1.0], 1.0),
        ([0.5, 0.5, 1.0], 1.0),  # the end is worse than the beginning
    ],
)
def test_time_to_within_is_that_after_which_the_loss_stays_so(
    validation: list[float], minutes: float
) -> None:
    result = Result(
        np.zeros((1, 1, 1, 1), np.float32),
        minutes=np.array([1.0, 2.0, 4.0]),
        validation=np.array(validation),
    )

    assert result.minutes_to_within == minutes


def test_equal_epochs_are_another_table_than_equal_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "__init__", lambda *_: None)
    ncep = CASES[0]

    def bench(epochs: int | None) -> Bench:
        made = Bench(ncep, ncep.minutes, tmp_path)
        made.case, made.minutes, made.out, made.epochs = ncep, ncep.minutes, tmp_path, epochs
        made.domain = load_domain(ncep.domain)
        return made

    row = ncep.rows[0]
    assert bench(10).network(row, 1).training.epochs == 10
    assert bench(10).network(row, 1).training.patience == 10
    assert bench(None).network(row, 1).training.epochs == ncep.epochs
    found = {bench(epochs).path(row, 1) for epochs in (None, 10, 15, ncep.epochs)}
    assert len(found) == 4


def seed(error: float, epochs: int = 1) -> Result:
    return Result(np.full((2, 1, 1, 1), error, np.float32), epochs=epochs)


@pytest.mark.parametrize(
    ("ours", "theirs", "means"),
    [
        ([seed(1.0)], [seed(2.0), seed(4.0)], (1.0, 2.0)),  # seed 1 of both
        ([seed(1.0), seed(3.0)], [seed(2.0), seed(4.0)], (2.0, 3.0)),
        ([seed(1.0), seed(3.0)], [seed(5.0, epochs=0)], (2.0, 5.0)),  # a baseline has no seeds
        ([seed(1.0, epochs=0)], [seed(2.0), seed(4.0)], (1.0, 3.0)),  # nor has a mean of seeds
    ],
)
def test_networks_are_compared_by_the_seeds_that_both_have(
    ours: list[Result], theirs: list[Result], means: tuple[float, float]
) -> None:
    found = paired_losses(ours, theirs)

    assert tuple(float(losses.mean()) for losses in found) == means
