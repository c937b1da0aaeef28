"""Residual blocks: nothing at first, and how far they look."""

import pytest
import torch

from lsntp.models.forced import DILATIONS, ResidualBlock, residual_blocks


def test_a_new_block_is_the_identity():
    x = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ResidualBlock(4, dropout=0.5)(x), x)


@pytest.mark.parametrize(("count", "reach"), [(1, 2), (2, 5), (4, 13)])
def test_blocks_look_as_far_as_their_dilations_say(count, reach):
    """A block of dilation d reaches d + 1 cells: 2, 3, 5, 3 of the first four."""
    assert sum(d + 1 for d in DILATIONS[:count]) == reach
    torch.manual_seed(1)
    blocks = residual_blocks(count, 2, 0.0)
    for block in blocks:
        block.norm = torch.nn.Identity()  # it looks at every cell
        torch.nn.init.normal_(block.second.weight)
    x = torch.zeros(1, 2, 1, 41, requires_grad=True)
    blocks(x)[0, 0, 0, 20].backward()
    seen = x.grad[0].abs().sum(dim=(0, 1)).nonzero().flatten()
    assert (seen.min().item(), seen.max().item()) == (20 - reach, 20 + reach)


def test_blocks_repeat_their_dilations():
    blocks = residual_blocks(6, 2, 0.1)
    assert [block.first.dilation[0] for block in blocks] == [*DILATIONS, *DILATIONS[:2]]
    assert all(block.dropout.p == 0.1 for block in blocks)
