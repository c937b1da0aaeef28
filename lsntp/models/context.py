"""The path at full resolution, with LS-Conv on coarse nodes in its middle.

Shapes: b batch, w channels of the context, d hidden channels, H x W the domain's grid, h x w the
grid of the nodes.
"""

from torch import Tensor, nn
from torch.nn import functional

from lsntp.config import LsntpConfig
from lsntp.models.convolution import in_order_for
from lsntp.models.forced import residual_blocks, zero_at_first
from lsntp.models.graph import Graph
from lsntp.models.lsconv import LSConv


class Context(nn.Module):
    """g = GELU(Blocks(Nodes(Blocks(Conv(U))))), the blocks before and behind the nodes half each.

    Args:
        inputs: channels of U.
        architecture: its ``context``, ``nodes``, ``skip``, ``width``, ``hidden``, ``stride``,
            ``kernel``, ``short_range``, ``attention_layers`` and ``dropout`` count here.
    """

    def __init__(self, inputs: int, architecture: LsntpConfig) -> None:
        super().__init__()
        width, dropout = architecture.width, architecture.dropout
        before = (architecture.context + 1) // 2 if architecture.nodes else architecture.context
        blocks = [*residual_blocks(architecture.context, width, dropout)]
        self.width = width
        self.stem = nn.Conv2d(inputs, width, kernel_size=3, padding=1)
        self.before = nn.Sequential(*blocks[:before])
        self.nodes = NodePath(architecture) if architecture.nodes else None
        self.behind = nn.Sequential(*blocks[before:])

    def forward(self, inputs: Tensor, graph: Graph) -> Tensor:
        """The context g (b, w, H, W) of U (b, inputs, H, W).

        Args:
            inputs: U.
            graph: of the nodes.
        """
        x = self.before(self.stem(in_order_for(self.width, inputs)))
        if self.nodes is not None:
            x = self.nodes(x, graph)
        return functional.gelu(self.behind(x))


class NodePath(nn.Module):
    """X + Up(GELU(LS blocks(Down(GELU(X))))): X at first; without ``skip`` the second term alone.

    Down is a convolution with ``stride`` to d channels, Up a transposed one back to w.

    Args:
        architecture: see :class:`Context`.
    """

    def __init__(self, architecture: LsntpConfig) -> None:
        super().__init__()
        width, hidden = architecture.width, architecture.hidden
        self.down = descent(width, hidden, architecture.stride)
        self.blocks = nn.ModuleList(LSBlock(architecture) for _ in range(architecture.nodes))
        self.has_skip = architecture.skip
        up = ascent(hidden, width, architecture.stride)
        self.up = zero_at_first(up) if self.has_skip else up  # zeros alone would learn nothing

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """(b, w, H, W), as ``x``."""
        nodes = self.down(functional.gelu(x))
        for block in self.blocks:
            nodes = block(nodes, graph)
        height, width = x.shape[2:]
        raised: Tensor = self.up(functional.gelu(nodes))[..., :height, :width]
        return x + raised if self.has_skip else raised


class LSBlock(nn.Module):
    """X + Conv(Dropout(GELU(GroupNorm(X) ⋆ Θ))), ⋆ LS-Conv; the identity at first.

    Args:
        architecture: see :class:`Context`.
    """

    def __init__(self, architecture: LsntpConfig) -> None:
        super().__init__()
        hidden = architecture.hidden
        self.norm = nn.GroupNorm(1, hidden)
        self.first = LSConv(
            hidden,
            hidden,
            architecture.kernel if architecture.short_range else 1,
            attention_layers=architecture.attention_layers,
        )
        self.dropout = nn.Dropout2d(architecture.dropout)
        self.second = zero_at_first(nn.Conv2d(hidden, hidden, kernel_size=3, padding=1))

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """(b, d, h, w), as ``x``."""
        inner: Tensor = self.second(self.dropout(functional.gelu(self.first(self.norm(x), graph))))
        return x + inner


def descent(channels: int, nodes: int, stride: int) -> nn.Conv2d:
    """From the cells to the nodes: every cell is seen by one at least."""
    return nn.Conv2d(channels, nodes, max(3, stride + 1), stride, padding=max(1, stride // 2))


def ascent(nodes: int, channels: int, stride: int) -> nn.ConvTranspose2d:
    """From the nodes back to as many cells or more; what is beyond the grid is to be cut off."""
    reach = 2 * stride if stride > 1 else 1
    return nn.ConvTranspose2d(nodes, channels, reach, stride, padding=reach // 4)
