"""The day before, by hand; residual blocks: nothing at first, and how far they look."""

from types import SimpleNamespace

import pytest
import torch

from lsntp.models.forced import (
    DILATIONS,
    DayBefore,
    ResidualBlock,
    Share,
    is_complete,
    residual_blocks,
)


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


def squares(count):
    """Frames (1, count, 1, 1) of the steps -(count - 1) … 0: each the square of its step."""
    return torch.arange(1.0 - count, 1.0).square().view(1, count, 1, 1)


def test_the_day_before_of_six_hourly_leads_by_hand():
    """Leads 1 … 4 lie in the day after the initial time, 5 and 6 in the one after that."""
    day_before = DayBefore(day=4, horizon=6)
    assert day_before.frames == 9  # two days back, and now
    frames = squares(9)
    # steps -8, -4 (origins), -3 … 0 (the leads' hours)
    assert day_before.of(frames).flatten().tolist() == [64.0, 16.0, 9.0, 4.0, 1.0, 0.0]
    assert day_before.channels == 6
    expected = [9 - 16, 4 - 16, 1 - 16, 0 - 16, 9 - 64, 4 - 64]
    assert day_before.changes(frames).flatten().tolist() == expected


def test_the_day_before_of_hourly_leads_by_hand():
    day_before = DayBefore(day=24, horizon=3)
    frames = squares(25)
    assert day_before.frames == 25
    assert day_before.of(frames).flatten().tolist() == [24.0**2, 23.0**2, 22.0**2, 21.0**2]
    assert day_before.changes(frames).flatten().tolist() == [-47.0, -92.0, -135.0]


@pytest.mark.parametrize("day", [1, 2, 4, 8, 24])
@pytest.mark.parametrize("horizon", [1, 6, 24, 30])
def test_the_day_before_is_over_at_the_initial_time(day, horizon):
    """Of a longer history it takes the last frames, and never one from after its end."""
    day_before = DayBefore(day, horizon)
    frames = squares(day_before.frames)
    longer = torch.cat([torch.full((1, 3, 1, 1), 1e9), frames], dim=1)
    for taken in (day_before.of, day_before.changes):
        torch.testing.assert_close(taken(longer), taken(frames))
    assert day_before.changes(frames).shape == (1, horizon, 1, 1)
    assert day_before.of(frames).max() == (day_before.frames - 1) ** 2


def test_half_of_a_change_is_shared_at_first_and_every_lead_learns_its_own():
    share = Share(2)
    changes = torch.tensor([2.0, -6.0]).view(1, 2, 1, 1)
    assert share(changes).flatten().tolist() == [1.0, -3.0]
    share(changes).sum().backward()
    assert share.share.grad.flatten().tolist() == [2.0, -6.0]


@pytest.mark.parametrize("gap", [float("nan"), float("inf")])
def test_a_history_with_a_gap_is_not_complete(gap):
    history = torch.zeros(2, 3, 1, 4, 5)
    assert is_complete(history)
    history[1, 2, 0, 3, 4] = gap
    assert not is_complete(history)


@pytest.mark.parametrize(
    ("recording", "sync_mode", "is_looked_at"),
    [(False, 0, True), (False, 1, True), (True, 0, False), (False, 2, False)],
    ids=["at other times", "only warned of", "while it records", "in the pass before"],
)
def test_nobody_waits_for_a_gpu_that_must_not_be_waited_for(
    monkeypatch, recording, sync_mode, is_looked_at
):
    looked = []
    monkeypatch.setattr(torch, "isfinite", lambda x: looked.append(x) or torch.ones(1))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: recording)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: sync_mode)
    assert is_complete(SimpleNamespace(is_cuda=True))
    assert bool(looked) == is_looked_at
