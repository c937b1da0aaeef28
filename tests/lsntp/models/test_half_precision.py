"""On this processor, the gradients of the networks that ship do not depend on the precision.

Kernels differ from one processor to the next, and some were wrong for some widths.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lsntp.config import Domain, NetworkConfig, load_domain
from lsntp.training.network import untrained_network

DOMAINS = ("demo", "era5-uk", "ncep-north-america")
"""Whose networks are small enough to differentiate in a second."""
WITHIN = 0.99
"""Cosine of the angle between the gradients of a parameter; products round to three digits."""


def networks() -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSNTP_DATA", "/nowhere")
        domains = [load_domain(name) for name in DOMAINS]
    return [
        pytest.param(domain, config, id=f"{domain.domain}-{name}")
        for domain in domains
        for name, config in domain.networks.items()
    ]


def example(network: nn.Module, domain: Domain) -> list[Tensor | None]:
    """History, known future and static fields, as far as the network asks for them."""
    shape = domain.target_grid.shape
    frames = getattr(network, "frames", domain.history)
    given: list[Tensor | None] = [torch.randn(2, frames, 1, *shape)]
    if (told := getattr(network, "told", None)) is not None:
        known, static = len(told.known), len(told.static)
        given.append(torch.randn(2, frames + domain.horizon, known, *shape) if known else None)
        given.append(torch.randn(static, *shape) if static else None)
    return given


@pytest.mark.parametrize(("domain", "config"), networks())
def test_gradients_in_bfloat16_point_where_those_in_float32_do(
    domain: Domain, config: NetworkConfig
) -> None:
    torch.manual_seed(0)
    network = untrained_network(config, domain).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # as if trained: nothing is zero any more
            parameter.add_(0.03 * torch.randn_like(parameter))
    given = example(network, domain)
    truth = torch.randn(2, domain.horizon, 1, *domain.target_grid.shape)

    gradients = []
    for is_half in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            forecast = network(*given)
        (forecast.float() - truth).square().mean().backward()
        gradients.append(
            {
                name: parameter.grad.flatten()
                for name, parameter in network.named_parameters()
                if parameter.grad is not None and parameter.numel() > 3
            }
        )

    full, half = gradients
    assert full.keys() == half.keys()
    alike = {n: float(torch.cosine_similarity(full[n], half[n], dim=0)) for n in full}
    assert {name: cosine for name, cosine in alike.items() if not cosine > WITHIN} == {}
