"""Plain networks to compare LS-NTP with: the same inputs and training, none of its ideas."""

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)


class ConvlstmConfig(BaseModel):
    """A plain ConvLSTM: LS-NTP's encoder-decoder without attention, graph or anything new.

    It is configuration ``paper`` of LS-NTP with ``attention_layers: 0, long_range: false``.

    References:
        Shi et al., NeurIPS 2015, arXiv 1506.04214.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["convlstm"]
    hidden: int = Field(64, ge=1, le=1024, description="Channels of the recurrent state.")
    kernel: Literal[1, 3, 5, 7] = Field(5, description="Side of the kernels.")


class ConvnetConfig(BaseModel):
    """A plain residual convolutional network over all of the history at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["convnet"]
    width: int = Field(
        48, ge=1, le=1024, description="Channels; on a CPU multiples of 16 are quickest."
    )
    blocks: int = Field(4, ge=0, le=64, description="Residual blocks.")
    forced: bool = Field(
        True,
        description="With the inputs of LS-NTP plus: anomalies from the climatology, forcings of "
        "all steps, static fields; false: the history alone. Frames are added to the last one.",
    )
    yesterday: bool = Field(
        False,
        description="Told the analyses of the same hours a day before, and given a learned share "
        "of their change, as LS-NTP plus.",
    )
    gain: float = Field(
        1.0, gt=0, description="What anomalies are multiplied by inside the network, as in plus."
    )
    climatology: Literal["level", "change"] = Field(
        "level", description="How it is among the forcings, as in plus."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of channels dropped in blocks.")

    @model_serializer(mode="wrap")
    def _as_before_there_was_a_choice(
        self, handler: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """Without what is as before there was a choice, so that versions keep their names."""
        dumped: dict[str, Any] = handler(self)
        before = {"yesterday": False, "gain": 1.0, "climatology": "level"}
        return {key: value for key, value in dumped.items() if before.get(key) != value}
