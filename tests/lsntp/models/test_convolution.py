"""The convolution against its sum written out, its gradient against finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lsntp.models.convolution import convolve, in_order_for

SHAPES = st.tuples(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)
)
"""b, c, f, h, w."""


def written_out(x: Tensor, theta: Tensor) -> Tensor:
    """Σ_c Σ_p Σ_q Θ_fcpq X_c(i + p - k//2, j + q - k//2), X zero beyond the grid, in float64."""
    x, theta = x.double(), theta.double()
    (b, _, h, w), (f, _, k, _) = x.shape, theta.shape
    result = torch.zeros(b, f, h, w, dtype=torch.float64)
    for i in range(h):
        for j in range(w):
            for p in range(k):
                for q in range(k):
                    row, column = i + p - k // 2, j + q - k // 2
                    if 0 <= row < h and 0 <= column < w:
                        result[:, :, i, j] += x[:, :, row, column] @ theta[:, :, p, q].T
    return result


@settings(deadline=None)
@given(shape=SHAPES, kernel=st.sampled_from([1, 3, 5, 7]), seed=st.integers(0, 99))
def test_it_is_the_sum_over_the_kernel(
    shape: tuple[int, int, int, int, int], kernel: int, seed: int
) -> None:
    torch.manual_seed(seed)
    b, c, f, h, w = shape
    x = torch.randn(b, c, h, w, dtype=torch.float64)
    theta = torch.randn(f, c, kernel, kernel, dtype=torch.float64)

    torch.testing.assert_close(convolve(x, theta), written_out(x, theta), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_its_gradient_is_that_of_finite_differences(kernel: int) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    theta = torch.randn(2, 3, kernel, kernel, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(convolve, (x, theta))


@pytest.mark.parametrize("frozen", ["x", "theta"])
def test_what_needs_no_gradient_gets_none(frozen: str) -> None:
    x = torch.randn(1, 2, 3, 3, requires_grad=frozen != "x")
    theta = torch.randn(2, 2, 3, 3, requires_grad=frozen != "theta")

    convolve(x, theta).sum().backward()

    assert (x.grad is None, theta.grad is None) == (frozen == "x", frozen == "theta")


@settings(deadline=None)
@given(shape=SHAPES, kernel=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_in_half_precision_it_is_the_same_sum_rounded_once(
    shape: tuple[int, int, int, int, int], kernel: int, seed: int
) -> None:
    torch.manual_seed(seed)
    b, c, f, h, w = shape
    x = torch.randn(b, c, h, w).bfloat16()
    theta = torch.randn(f, c, kernel, kernel).bfloat16()

    found = convolve(x, theta)

    assert found.dtype == torch.bfloat16
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), written_out(x, theta), rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 2, 4, 5), (2, 64, 96, 11, 13)], ids=["small", "blocks"])
def test_gradients_in_half_precision_are_those_of_the_sum(
    shape: tuple[int, int, int, int, int],
) -> None:
    torch.manual_seed(2)
    b, c, f, h, w = shape
    x = torch.randn(b, c, h, w).bfloat16().requires_grad_()
    theta = torch.randn(f, c, 3, 3).bfloat16().requires_grad_()
    weights = torch.randn(b, f, h, w).bfloat16()  # that no two cells and filters count alike
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, theta)]

    (convolve(x, theta) * weights).sum().backward()
    (torch.nn.functional.conv2d(*exact, padding=1) * weights.double()).sum().backward()

    for found, expected in zip((x, theta), exact, strict=True):
        assert found.grad is not None
        assert expected.grad is not None
        largest = float(expected.grad.abs().max())
        torch.testing.assert_close(
            found.grad.double(), expected.grad, rtol=2**-7, atol=largest * 2**-8
        )


def test_under_autocast_it_is_that_of_half_precision() -> None:
    """What is not yet in half precision is brought to it, and gradients back from it."""
    torch.manual_seed(3)
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    theta = torch.randn(2, 3, 3, 3, requires_grad=True)

    with torch.autocast("cpu", torch.bfloat16):
        found = convolve(x, theta)
    found.float().sum().backward()

    expected = written_out(x.detach().bfloat16(), theta.detach().bfloat16())
    torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=1e-5)
    assert x.grad is not None
    assert theta.grad is not None
    assert (x.grad.dtype, theta.grad.dtype) == (torch.float32, torch.float32)


def test_another_order_in_memory_changes_no_value() -> None:
    x = torch.randn(2, 3, 4, 5)

    found = in_order_for(16, x)

    assert torch.equal(found, x)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("width", [16, 24, 32, 44, 64, 88])
@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_gradients_of_dilated_kernels_in_half_precision_are_those_of_the_sum(
    width: int, dilation: int
) -> None:
    """With the channels last, oneDNN gave other ones for widths of no whole vectors."""
    torch.manual_seed(4)
    x = torch.randn(2, width, 12, 53).bfloat16()  # rows longer than what is summed at once
    theta = torch.randn(width, width, 3, 3).bfloat16().requires_grad_()
    exact = theta.detach().double().requires_grad_()
    options = {"padding": dilation, "dilation": dilation}

    found = torch.nn.functional.conv2d(in_order_for(width, x), theta, **options)
    weights = torch.randn_like(found)  # that no two cells and filters count alike
    (found * weights).sum().backward()
    expected = torch.nn.functional.conv2d(x.double(), exact, **options)
    (expected * weights.double()).sum().backward()

    assert theta.grad is not None
    assert exact.grad is not None
    largest = float(exact.grad.abs().max())
    torch.testing.assert_close(theta.grad.double(), exact.grad, rtol=2**-7, atol=largest * 2**-8)
