"""A network as a domain's file has it: which one, and how it is fitted."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from lsntp.config.architecture import LsntpConfig
from lsntp.config.comparators import ConvlstmConfig, ConvnetConfig

Scaling = Literal["min-max-01", "min-max-11", "standard"]
Target = Literal["absolute", "anomaly", "increment"]
Precision = Literal["float32", "bfloat16"]
Loss = Literal["mse", "mae"]


class _Frozen(BaseModel):
    """No unknown keys, no later change, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def without(dumped: dict[str, Any], **defaults: object) -> dict[str, Any]:
    """Without what is as before there was a choice, so that older versions keep their names."""
    return {
        key: value
        for key, value in dumped.items()
        if key not in defaults
        or (tuple(value) if isinstance(value, list) else value) != defaults[key]
    }


class TrainingConfig(_Frozen):
    """How a network is fitted."""

    epochs: int = Field(70, ge=1)
    max_minutes: float | None = Field(
        None, gt=0, description="Wall-clock budget of the fit, summed over its resumed runs."
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="Longest time between two checkpoints inside an epoch."
    )
    batch_size: int = Field(8, ge=1, description="Windows that a device takes at once.")
    accumulate: int = Field(
        1,
        ge=1,
        description="Batches to a step of the optimiser: k of n windows are one of k n in less "
        "memory.",
    )
    devices: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto",
        description="Processes, each with a batch of its own, that make a step together: one a "
        "GPU, or on CPU. auto: every visible GPU, else one process.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Its peak, after the warm-up.")
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of all steps with rising rate.")
    decay: Literal["cosine", "none"] = Field(
        "cosine", description="Of the learning rate after the warm-up: along a cosine to zero."
    )
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(
        0.999,
        gt=0,
        lt=1,
        description="Of AdamW: how slowly it forgets how large gradients are.",
    )
    gradient_clip: float | None = Field(1.0, gt=0)
    patience: int = Field(10, ge=1, description="Epochs without a better validation loss.")
    ema: float | None = Field(
        None, gt=0, lt=1, description="Decay a step of a moving average of the weights; null: none."
    )
    precision: Precision = Field(
        "float32", description="Of the forward pass in training; weights and states are float32."
    )
    memory_gb: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        "auto",
        description="For the fields that windows are cut from, all processes together. What does "
        "not fit is decoded from the training archive when needed, with the same windows in the "
        "same order. auto: half of what is free.",
    )
    compile: bool = Field(
        False,
        description="On a CPU, run the recurrent cells through torch.compile; needs a C++ compiler "
        "and torch 2.13. Versions made with and without it have the same tensors.",
    )
    cuda_graphs: bool = Field(
        False,
        description="On one GPU, record the kernels of a step once and launch them together, with "
        "the same weights. The memory of a step is held throughout, beside that of validation. "
        "Nothing changes on a CPU and on several GPUs.",
    )
    loss: Loss = Field(
        "mse", description="What is minimised: mean squared or mean absolute error of the target."
    )
    lead_decay: float = Field(
        0.0,
        ge=0,
        le=2,
        description="p: in what is minimised, lead k (in steps) counts as k^-p, so that the early "
        "leads, whose errors are small, are heard; 0: all alike. Validation counts all alike.",
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Weights of the epoch with the best validation loss, or of the last one: where "
        "the validation block is too short to choose by; there is no patience then.",
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="Parts that a fine-tuned network keeps as its parent has them: a parameter's "
        "name, or its beginning up to a dot. encoder1 names encoder1.b, encoder does not.",
    )
    seed: int = 0

    @model_serializer(mode="wrap")
    def _as_before_there_was_a_choice(
        self, handler: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        dumped = without(handler(self), loss="mse", beta2=0.999, freeze=())
        dumped = without(dumped, lead_decay=0.0, keep="best", decay="cosine")
        return without(dumped, cuda_graphs=False)


def _network_named(content: object) -> str:
    """LS-NTP unless it says otherwise."""
    name = content.get("name", "lsntp") if isinstance(content, dict) else content.name  # type: ignore[attr-defined]
    return str(name)


ArchitectureConfig = Annotated[
    Annotated[LsntpConfig, Tag("lsntp")]
    | Annotated[ConvlstmConfig, Tag("convlstm")]
    | Annotated[ConvnetConfig, Tag("convnet")],
    Discriminator(_network_named),
]


class NetworkConfig(_Frozen):
    """A network with its inputs' scaling, its target and its training."""

    architecture: ArchitectureConfig = LsntpConfig()
    scaling: Scaling = "min-max-01"
    target: Target = "absolute"
    training: TrainingConfig = TrainingConfig()
    members: int = Field(
        1,
        ge=1,
        le=64,
        description="Networks under one version, each with a seed of its own and so much more time "
        "to fit and to forecast; their mean is the forecast.",
    )
    quantiles: bool = Field(
        False,
        description="Beside the forecast its quantiles 0.05, 0.15 … 0.95, calibrated on the "
        "validation period.",
    )

    @model_serializer(mode="wrap")
    def _as_before_there_was_a_choice(
        self, handler: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        return without(handler(self), members=1, quantiles=False)

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        adds_up = isinstance(self.architecture, ConvnetConfig) or (
            isinstance(self.architecture, LsntpConfig) and self.architecture.configuration == "plus"
        )
        if adds_up and self.target != "absolute":
            raise ValueError(
                "expected target: absolute for a network that adds its changes to the last frame "
                f"itself (lsntp plus, convnet), found {self.target}"
            )
        is_fed_back = (
            isinstance(self.architecture, LsntpConfig)
            and self.architecture.decoder_input == "forecast"
        )
        if is_fed_back and self.target != "absolute":
            raise ValueError(
                "expected target: absolute with architecture.decoder_input: forecast, which feeds "
                "the decoder the last analysis and then its own frames, so that both must be "
                f"temperatures, found {self.target}; set one of the two otherwise"
            )
        return self
