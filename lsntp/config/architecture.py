"""The architecture of LS-NTP: three presets, and a switch for everything in which they differ.

The lectures publish equations, the authors publish code, and the two do not agree. Each
switch below is one such disagreement: the value of preset ``paper`` is the side of the
equations (Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022),
that of ``official`` the side of the code (github.com/xuguangning1218/LS_NTP @ 53abda05721f).
``plus`` is ours: LS-Conv at heart, and beside it what makes small data go further, one switch an
ingredient.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Configuration = Literal["paper", "official", "plus"]

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {
            "gate_activation": "none",
            "attention_layers": 2,
            "convolution": "separate",
            "bias": True,
            "peephole": "cell",
            "decoder_input": "none",
            "decoder_steps": "horizon",
            "even_grid": "extend",
        },
        "official": {
            "gate_activation": "relu",
            "attention_layers": 3,
            "convolution": "joint",
            "bias": False,
            "peephole": "channel",
            "decoder_input": "zeros",
            "decoder_steps": "history",
            "even_grid": "refuse",
        },
        "plus": {
            "decoder_input": "forecast",
            "peephole": "channel",
            "hidden": 64,
            "embedding": 32,
            "stride": 2,
            "stem": 16,
            "width": 64,
            "context": 4,
            "anomalies": True,
            "gain": 1.8,
            "climatology": "change",
            "residual": True,
            "forcings": True,
            "static": True,
            "yesterday": False,
            "nodes": 2,
            "recurrence": False,
            "strength": "learned",
            "forget_bias": 1.0,
            "dropout": 0.25,
        },
    }
)
"""What ``configuration`` sets; a key of the YAML beats it."""

_ABLATIONS: Mapping[str, Any] = MappingProxyType(
    {
        "operator": "ls-conv",
        "long_range": True,
        "short_range": True,
        "reach_km": "all",
        "graph": "auto",
    }
)

_LATER: Mapping[str, Any] = MappingProxyType({"calendar": False, "orography": False, "skip": True})
"""Ingredients that came when there were versions of ``plus`` already, as those have them: they are
not named in a dump, so none of them may ever be in a preset."""

INGREDIENTS: Mapping[str, Any] = MappingProxyType(
    {
        "stride": 1,
        "stem": 0,
        "width": 0,
        "context": 0,
        "anomalies": False,
        "gain": 1.0,
        "climatology": "level",
        "residual": False,
        "forcings": False,
        "static": False,
        "strength": "one",
        "yesterday": False,
        "nodes": 0,
        "recurrence": True,
        "forget_bias": 0.0,
        "dropout": 0.0,
        **_LATER,
    }
)
"""What only ``plus`` may switch on, as it is without."""

_OF_RECURRENCE: Mapping[str, Any] = MappingProxyType(
    {
        "operator": "ls-conv",
        "gate_activation": "none",
        "convolution": "separate",
        "bias": True,
        "peephole": "channel",
        "decoder_input": "forecast",
        "forget_bias": 1.0,
    }
)
"""What ``plus`` reads with ``recurrence`` only, as its preset has it. Dumps without recurrence name
some of these values: they have to stay readable."""

_NOT_IN_PLUS: Mapping[str, Any] = MappingProxyType(
    {"decoder_steps": "horizon", "even_grid": "extend", "downsample": False}
)


class LsntpConfig(BaseModel):
    """LS-NTP: a ConvLSTM encoder-decoder whose convolution is LS-Conv.

    ``configuration`` picks a preset; every switch may be set beside it. The ablations of
    Table 4 are: without NSA ``attention_layers: 0``; without LAGC ``long_range: false``;
    without both, both; without LSI ``short_range: false``; DAGG-ConvLSTM
    ``operator: dagg`` (AGCRN uses ``embedding: 10``). Table 5 is ``kernel``, Fig. 9 and 10
    (how far correlations matter) ``reach_km``.

    A dump names only what differs from the preset, so that a stored configuration and the
    version made of it mean the same whatever switches come later. That of ``plus`` names all
    switches of its preset: measurement may change it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Literal["lsntp"] = "lsntp"
    configuration: Configuration = Field(
        "paper",
        description="Preset of switches: the published equations, the authors' code, or ours "
        "(:class:`lsntp.models.plus.LSNTPPlus`).",
    )
    hidden: int = Field(128, ge=1, le=1024, description="Channels d of the recurrent state.")
    embedding: int = Field(512, ge=1, le=4096, description="Length e of a node embedding.")
    kernel: Literal[1, 3, 5, 7] = Field(
        3,
        description="Side k of the LS-Conv kernels. The stride-2 convolution and the head keep "
        "3 x 3; in the authors' code they share the setting, which fits k = 3 only.",
    )
    downsample: bool = Field(
        False,
        description="Stride-2 convolution before, transposed one behind the recurrence: the "
        "authors' code on ERA5 (true) and on NCEP (false); the lectures do not mention it.",
    )

    gate_activation: Literal["none", "relu"] = Field(
        "none",
        description="After the convolution of LS-Conv. none: paper, gates may close from both "
        "sides. relu: official, which keeps i, f, o from starting below 1/2 and C, H above 0.",
    )
    attention_layers: Literal[0, 2, 3] = Field(
        2,
        description="1x1 convolutions of NSA. 2: paper, sigmoid of a ReLU, attention in [1/2, 1). "
        "3: official, sigmoid straight on the third, attention in (0, 1). 0: without NSA.",
    )
    convolution: Literal["separate", "joint"] = Field(
        "separate",
        description="separate: paper, W_x ⋆ X + W_h ⋆ H. joint: official, one LS-Conv of the "
        "channels [X, H], whose attention and GroupNorm mix the two.",
    )
    bias: bool = Field(
        True, description="b_i, b_f, b_c, b_o. true: paper. false: official, which has none."
    )
    peephole: Literal["cell", "channel"] = Field(
        "cell",
        description="W_ci, W_cf, W_co. cell: paper, a weight per channel and node as in ConvLSTM. "
        "channel: official, one per channel.",
    )
    decoder_input: Literal["none", "zeros", "forecast"] = Field(
        "none",
        description="Input of the first decoder layer. none: paper, no input and no weights for "
        "one. zeros: official, d channels of zeros, whose weights never act. forecast: Fig. 5 "
        "read as autoregressive, the last analysis and then the network's own frames, which "
        "needs target: absolute.",
    )
    decoder_steps: Literal["horizon", "history"] = Field(
        "horizon",
        description="Length of the output. horizon: paper. history: official, as many frames as "
        "came in; refused where the domain's horizon differs.",
    )
    even_grid: Literal["extend", "refuse"] = Field(
        "extend",
        description="An axis of even length under downsample. extend: paper, on any grid: one "
        "replicated row or column, cut back afterwards. refuse: official, whose node count fits "
        "odd axes only.",
    )

    operator: Literal["ls-conv", "dagg"] = Field(
        "ls-conv",
        description="dagg: AGCRN's node-adaptive graph convolution in place of LS-Conv "
        "(DAGG-ConvLSTM); it has neither NSA nor a kernel. plus: with recurrence and nodes: 0.",
    )
    long_range: bool = Field(
        True, description="false: without LAGC, A = 0 and L = X; there is no node embedding."
    )
    short_range: bool = Field(
        True, description="false: without LSI, a 1x1 weight behind the graph whatever kernel says."
    )
    reach_km: float | Literal["all"] = Field(
        "all",
        description="Great-circle distance beyond which an entry of the adjacency is set to "
        "zero, without renormalising. 0: A = 0, no long range. all: every pair.",
    )
    graph: Literal["auto", "dense", "chunked"] = Field(
        "auto",
        description="How (I + A) X is computed. dense: A is held, N x N. chunked: rows of A are "
        "made and made again, memory linear in N. auto: dense up to 10 000 nodes.",
    )

    stride: Literal[1, 2, 4] = Field(
        1, description="plus: cells between two nodes, along each axis."
    )
    stem: int = Field(
        0, ge=0, le=512, description="plus: channels at full resolution around the recurrence."
    )
    context: int = Field(
        0,
        ge=0,
        le=16,
        description="plus: residual blocks of the path at full resolution, past the "
        "recurrence to every frame; 0, and no nodes: without that path.",
    )
    width: int = Field(
        0,
        ge=0,
        le=512,
        description="plus: channels of the context; on a CPU multiples of 16 are quickest.",
    )
    anomalies: bool = Field(
        False, description="plus: the network sees and makes anomalies from the climatology."
    )
    gain: float = Field(
        1.0,
        gt=0,
        description="plus: what anomalies are multiplied by inside the network; the standard "
        "deviation of the fields over that of their anomalies makes them vary by one.",
    )
    climatology: Literal["level", "change"] = Field(
        "level",
        description="plus: the climatology among the forcings: as it is, or less its mean over the "
        "steps of the window and times gain, which tells the time of day but not the place.",
    )
    residual: bool = Field(
        False,
        description="plus: every frame is the frame before it and what the head adds; with "
        "anomalies that is persistence plus the climatological increment.",
    )
    forcings: bool = Field(
        False,
        description="plus: climatology and cosine of the solar zenith angle of a step and of the "
        "next one are inputs.",
    )
    calendar: bool = Field(
        False,
        description="plus: sine and cosine of the hour of day, UTC, and of the day of year are "
        "forcings, too.",
    )
    nodes: int = Field(
        0,
        ge=0,
        le=16,
        description="plus: residual blocks of LS-Conv in the middle of the context, on the nodes.",
    )
    skip: bool = Field(
        True,
        description="plus: what comes from the nodes is added to the context at full resolution. "
        "false: it takes its place, and every number goes through the nodes.",
    )
    recurrence: bool = Field(
        True,
        description="plus: LS-ConvLSTM over the steps of history and horizon beside the context; "
        "false: the context alone makes all frames at once, and what only a recurrence reads is "
        "refused.",
    )
    yesterday: bool = Field(
        False,
        description="plus: the analyses of the same hours a day before are inputs of the context, "
        "and every frame takes a learned share of their change, one number a lead and one half at "
        "first; the history grows to a day or more.",
    )
    static: bool = Field(False, description="plus: land fraction and latitude are inputs.")
    orography: bool = Field(
        False,
        description="plus: the height of the ground is a static field, too; the domain must name "
        "where it comes from (static).",
    )
    strength: Literal["one", "learned"] = Field(
        "one",
        description="plus: learned, I + s A with a learned number s, 0.1 at first. one: I + A.",
    )
    forget_bias: float = Field(0.0, description="plus: b_f at first.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="plus: share of channels dropped in residual blocks."
    )

    @property
    def needs_climatology(self) -> bool:
        """Whether known-future inputs must be given."""
        return self.anomalies or self.forcings

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        configuration = content.get("configuration", "paper")
        preset = PRESETS.get(configuration, {}) if isinstance(configuration, str) else {}
        return {**preset, **content}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.reach_km != "all" and self.reach_km < 0:
            raise ValueError(f"reach_km: expected 0 or more km, or all, found {self.reach_km:g}")
        self._check_configuration()
        if self.operator == "dagg" and not self.long_range:
            raise ValueError(
                "expected long_range: true with operator: dagg, whose weights come from the "
                "graph's node embedding"
            )
        return self

    def _check_configuration(self) -> None:
        fixed = _NOT_IN_PLUS if self.configuration == "plus" else INGREDIENTS
        wrong = [
            f"{name}: {value}" for name, value in fixed.items() if getattr(self, name) != value
        ]
        if wrong:
            raise ValueError(
                f"expected {', '.join(wrong)} with configuration: {self.configuration}, found "
                + ", ".join(
                    f"{name.split(':')[0]}: {getattr(self, name.split(':')[0])}" for name in wrong
                )
            )
        for name, needed in (("calendar", "forcings"), ("orography", "static")):
            if getattr(self, name) and not getattr(self, needed):
                raise ValueError(f"expected {needed}: true with {name}: true, found false")
        if self.configuration == "plus" and not (self.recurrence or self.nodes):
            raise ValueError(
                "expected nodes of at least 1 or recurrence: true with configuration: plus, found "
                "neither; a network without LS-Conv is name: convnet"
            )
        if self.configuration == "plus" and (
            min(self.width, self.stem) < 1 or self.decoder_input == "zeros"
        ):
            raise ValueError(
                "expected stem and width of at least 1 and decoder_input none or forecast with "
                f"configuration: plus, found {self.stem}, {self.width} and {self.decoder_input}"
            )
        if self.configuration == "plus":
            self._check_read()

    def _check_read(self) -> None:
        """Refuse switches of plus that nothing reads: they would seem to make a difference."""
        unread = {} if self.recurrence else _OF_RECURRENCE
        idle = [name for name, value in unread.items() if getattr(self, name) != value]
        if idle:
            raise ValueError(
                f"expected {', '.join(f'{name}: {as_typed(unread[name])}' for name in idle)} "
                "with recurrence: false, which reads none of it, found "
                + ", ".join(f"{name}: {as_typed(getattr(self, name))}" for name in idle)
                + "; set recurrence: true to make it count"
            )
        if not (self.skip or self.nodes):
            raise ValueError(
                "expected skip: true with nodes: 0, where there is nothing to skip, found false"
            )
        if self.operator == "dagg" and self.nodes:
            raise ValueError(
                "expected nodes: 0 with operator: dagg, which takes the place of LS-Conv in the "
                f"recurrence only, found {self.nodes}"
            )

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        implied = {**_ABLATIONS, **_LATER}  # plus says all it is: its preset may still learn
        if self.configuration != "plus":
            implied |= {**INGREDIENTS, **PRESETS[self.configuration]}
        dumped: dict[str, Any] = handler(self)
        return {
            key: value
            for key, value in dumped.items()
            if key not in implied or implied[key] != value
        }


def as_typed(value: object) -> str:
    """A value as YAML has it."""
    return str(value).lower()
