"""The rows of the skill table: ``plus``, what it is without each ingredient, and its rivals."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lsntp.config import Domain, NetworkConfig

PLUS, CONVNET = "lsntp-plus", "convnet"


@dataclass(frozen=True)
class Row:
    """A network of the table.

    Attributes:
        name: in the table.
        base: network of the domain file that it is a change of.
        change: of its architecture.
        target: what it forecasts.
        is_main: done before all others, every seed of it.
        recipe: change of how it is trained.
        is_paced_as_plus: it costs what ``plus`` does, and has as many epochs.
    """

    name: str
    base: str
    change: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    target: str = "absolute"
    is_main: bool = False
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_paced_as_plus: bool = False


@dataclass(frozen=True)
class Case:
    """A domain of the table.

    Attributes:
        domain: its preset.
        minutes: of CPU for each fit.
        epochs: at most, where more would only learn the few days by heart.
        rows: what is fitted.
    """

    domain: str
    minutes: float
    epochs: int
    rows: tuple[Row, ...]


MAIN = (Row("plus", PLUS, is_main=True), Row("ConvNet", CONVNET, is_main=True))


def _rows(matched: int, *, yesterday: bool) -> tuple[Row, ...]:
    """The rows of a domain, whose ConvNet of width ``matched`` is as large as ``plus``."""
    small = {"hidden": 16, "embedding": 64}
    published = [
        Row(
            "paper, increment", "lsntp-increment", {**small, "configuration": "paper"}, "increment"
        ),
        Row("paper, as published", "lsntp-absolute", {**small, "configuration": "paper"}),
        Row("official code", "lsntp-absolute", {**small, "configuration": "official"}),
        Row("ConvLSTM, increment", "convlstm", target="increment"),
    ]
    changed: dict[str, dict[str, Any]] = {
        "with recurrence": {"recurrence": True},
        "without graph": {"long_range": False, "strength": "one"},
        "without learned strength": {"strength": "one"},
        "without forcings": {"forcings": False},
        "without anomalies": {"anomalies": False},
        "without residual": {"residual": False},
        "without context": {"context": 0},
        "without skip": {"skip": False},
        "without static fields": {"static": False},
        "without dropout": {"dropout": 0.0},
        "with orography": {"orography": True},
    }
    as_plus = [Row("plus with the calendar", PLUS, {"calendar": True}, is_paced_as_plus=True)]
    trained: dict[str, dict[str, Any]] = {
        "without moving average": {"ema": None},
        "without lead weights": {"lead_decay": 0.0},
        "without warm-up": {"warmup": 0.0},
        "without cosine": {"decay": "none"},
        "without clipping": {"gradient_clip": None},
        "without weight decay": {"weight_decay": 0.0},
    }
    if yesterday:  # this domain's plus has neither static fields nor forcings
        changed = {"without yesterday": {"yesterday": False}, **changed}
        changed |= {
            "with forcings": {"forcings": True},
            "with static fields": {"static": True},
            "with orography": {"static": True, "orography": True},
            "with recurrence, without biases": {"recurrence": True, "bias": False},
            "with recurrence, not fed back": {"recurrence": True, "decoder_input": "none"},
        }
        for name in ("without static fields", "without forcings"):
            del changed[name]
        as_plus = []
    return (
        *MAIN,
        *published,
        Row("ConvNet as large as plus", CONVNET, {"width": matched}),
        *(Row(f"plus {name}", PLUS, change) for name, change in changed.items()),
        *as_plus,
        *(
            Row(f"plus {name}", PLUS, recipe=change, is_paced_as_plus=True)
            for name, change in trained.items()
        ),
    )


CASES = (
    Case("ncep-north-america", 8.0, 60, _rows(88, yesterday=False)),
    Case("era5-uk", 3.0, 10, _rows(44, yesterday=True)),
)


def network_of(domain: Domain, row: Row, *, seed: int, epochs: int) -> NetworkConfig:
    """The base network with the row's change, and the one recipe of the domain."""
    base = domain.networks[row.base].model_dump(mode="json")
    architecture = base["architecture"]
    if "configuration" in row.change:  # its switches are those of another preset
        architecture = {"name": "lsntp"}
    recipe = domain.networks[PLUS].training
    given = {"seed": seed, "epochs": epochs, "patience": epochs, **row.recipe}
    recipe = recipe.model_copy(update=given)
    return NetworkConfig.model_validate(
        {
            "architecture": {**architecture, **row.change},
            "scaling": "standard",
            "target": row.target,
            "training": recipe.model_dump(mode="json"),
        }
    )
