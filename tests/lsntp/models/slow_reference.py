"""LS-NTP in double precision, written from the equations for one sample, nothing left out.

It calls nothing of the package and is the plain form: every adjacency is built anew, states
and inputs of zero are multiplied out, A is a matrix, kernels are sums of shifted products.
Fields are (channels, n, m); parameters are those of a network by name, float64.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Reference:
    """The function that ``switches`` (a dump with every value) describe.

    Attributes:
        switches: by name, as in the domain file.
        parameters: of the network.
        near: (N, N), 1 where two nodes are within reach and 0 elsewhere; None for all.
    """

    switches: Mapping[str, Any]
    parameters: Parameters
    near: Tensor | None = None

    def forecast(self, sample: Tensor, horizon: int) -> Tensor:
        """(K, 1, H, W) from the history (T, c, H, W)."""
        shape = sample.shape[2:]
        frames = [self._front(frame) for frame in sample]
        d = self.switches["hidden"]
        zero = torch.zeros(d, *frames[0].shape[1:], dtype=sample.dtype)
        h1, c1, h2, c2 = zero, zero, zero, zero
        for x in frames:
            h1, c1 = self._cell("encoder1", x, h1, c1)
            h2, c2 = self._cell("encoder2", h1, h2, c2)
        x = {"none": None, "zeros": zero, "forecast": frames[-1]}[self.switches["decoder_input"]]
        result = []
        for _ in range(horizon):
            h1, c1 = self._cell("decoder3", x, h1, c1)
            h2, c2 = self._cell("decoder4", h1, h2, c2)
            result.append(self._head(h2, shape))
            if self.switches["decoder_input"] == "forecast":
                x = self._front(result[-1])
        return torch.stack(result)

    def _cell(self, layer: str, x: Tensor | None, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """i, f, C̃, o, C and H of one step."""
        p = {k.removeprefix(layer + "."): v for k, v in self.parameters.items() if layer + "." in k}
        if self.switches["convolution"] == "joint":
            total = self._star(p, "W_xh", h if x is None else torch.cat([x, h]))
        else:
            total = self._star(p, "W_h", h)
            if x is not None:
                total = total + self._star(p, "W_x", x)
        if self.switches["bias"]:
            total = total + p["b"]
        i, f, g, o = total.split(len(h))
        i = _sigma(i + p["W_ci"] * c)
        f = _sigma(f + p["W_cf"] * c)
        c = f * c + i * torch.tanh(g)
        o = _sigma(o + p["W_co"] * c)
        return o * torch.tanh(c), c

    def _star(self, p: Parameters, name: str, x: Tensor) -> Tensor:
        """X ⋆ Θ."""
        p = {k.removeprefix(name + "."): v for k, v in p.items() if k.startswith(name + ".")}
        adjacency = self._adjacency(x)
        if self.switches["operator"] == "dagg":
            result = self._dagg(p["theta"], x, adjacency)
        else:
            nodes = self._attend(p, x).flatten(1).T  # (N, c)
            long_range = (nodes + adjacency @ nodes).T.reshape(x.shape)
            result = _convolve(long_range, p["theta"])
        return result * (result > 0) if self.switches["gate_activation"] == "relu" else result

    def _adjacency(self, x: Tensor) -> Tensor:
        """A (N, N)."""
        nodes = x[0].numel()
        if not self.switches["long_range"]:
            return torch.zeros(nodes, nodes, dtype=x.dtype)
        embedding = self.parameters["E"]
        similarity = torch.einsum("ik,jk->ij", embedding, embedding)
        weights = torch.exp(similarity * (similarity > 0))
        adjacency = weights / weights.sum(dim=1, keepdim=True)
        return adjacency if self.near is None else adjacency * self.near

    def _attend(self, p: Parameters, x: Tensor) -> Tensor:
        """NSA(X)."""
        layers = self.switches["attention_layers"]
        if layers == 0:
            return x
        x2 = _norm_relu(_norm_relu(x, p, "attention.first"), p, "attention.second")
        if layers == 3:
            x2 = _pointwise(x2, p, "attention.third")
        return x * _sigma(x2)

    def _dagg(self, theta: Tensor, x: Tensor, adjacency: Tensor) -> Tensor:
        """Z_n = X_n Θ⁰_n + (A X)_n Θ¹_n, node by node."""
        nodes = x.flatten(1).T
        others = adjacency @ nodes
        result = [
            nodes[n] @ torch.einsum("e,ecf->cf", own, theta[:, 0])
            + others[n] @ torch.einsum("e,ecf->cf", own, theta[:, 1])
            for n, own in enumerate(self.parameters["E"])
        ]
        return torch.stack(result).T.reshape(-1, *x.shape[1:])

    def _front(self, frame: Tensor) -> Tensor:
        """The stride-2 convolution of a frame (c, H, W), its even axes first made odd."""
        if not self.switches["downsample"]:
            return frame
        if frame.shape[1] % 2 == 0:
            frame = torch.cat([frame, frame[:, -1:]], dim=1)
        if frame.shape[2] % 2 == 0:
            frame = torch.cat([frame, frame[:, :, -1:]], dim=2)
        weight, bias = self.parameters["front.weight"], self.parameters["front.bias"]
        n, m = frame.shape[1] // 2, frame.shape[2] // 2
        total = bias[:, None, None].expand(-1, n, m)
        for u in range(3):
            for v in range(3):
                seen = frame[:, u : u + 2 * n : 2, v : v + 2 * m : 2][:, :n, :m]
                total = total + torch.einsum("fc,cnm->fnm", weight[:, :, u, v], seen)
        return total

    def _head(self, h: Tensor, shape: tuple[int, int]) -> Tensor:
        """A frame (1, H, W) from H (d, n, m)."""
        weight, bias = self.parameters["head.weight"], self.parameters["head.bias"]
        if not self.switches["downsample"]:
            return _convolve(h, weight) + bias[:, None, None]
        _, n, m = h.shape
        frame = torch.zeros(1, 2 * n + 1, 2 * m + 1, dtype=h.dtype)
        for u in range(3):
            for v in range(3):
                spread = torch.zeros_like(frame)
                spread[0, u : u + 2 * n : 2, v : v + 2 * m : 2] = torch.einsum(
                    "d,dnm->nm", weight[:, 0, u, v], h
                )
                frame = frame + spread
        return (frame + bias[:, None, None])[:, : shape[0], : shape[1]]


def near_nodes(latitude: Tensor, longitude: Tensor, reach_km: float) -> Tensor:
    """(N, N), 1 where the great circle between two nodes is at most ``reach_km``, else 0."""
    places = [(phi, lam) for phi in latitude.tolist() for lam in longitude.tolist()]
    return torch.tensor(
        [[float(_great_circle_km(a, b) <= reach_km) for b in places] for a in places],
        dtype=torch.float64,
    )


def _great_circle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Spherical law of cosines on a sphere of 6371 km."""
    phi, psi = math.radians(a[0]), math.radians(b[0])
    turn = math.radians(a[1] - b[1])
    cosine = math.sin(phi) * math.sin(psi) + math.cos(phi) * math.cos(psi) * math.cos(turn)
    return 6371.0 * math.acos(max(-1.0, min(1.0, cosine)))


def _sigma(value: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-value))


def _pointwise(x: Tensor, p: Parameters, name: str) -> Tensor:
    weight, bias = p[f"{name}.weight"][:, :, 0, 0], p[f"{name}.bias"]
    return torch.einsum("fc,cnm->fnm", weight, x) + bias[:, None, None]


def _norm_relu(x: Tensor, p: Parameters, name: str) -> Tensor:
    """ReLU(GroupNorm(Conv1@1(x))), one group: all channels and cells together."""
    mixed = _pointwise(x, p, f"{name}.0")
    spread = ((mixed - mixed.mean()) ** 2).mean()
    normal = (mixed - mixed.mean()) / torch.sqrt(spread + 1e-5)
    scaled = normal * p[f"{name}.1.weight"][:, None, None] + p[f"{name}.1.bias"][:, None, None]
    return scaled * (scaled > 0)


def _convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """The k x k products, each shifted to its place and summed; zeros outside."""
    n, m = x.shape[1:]
    k = kernel.shape[-1]
    padded = torch.zeros(len(x), n + k - 1, m + k - 1, dtype=x.dtype)
    padded[:, k // 2 : k // 2 + n, k // 2 : k // 2 + m] = x
    total = torch.zeros(len(kernel), n, m, dtype=x.dtype)
    for u in range(k):
        for v in range(k):
            total = total + torch.einsum(
                "fc,cnm->fnm", kernel[:, :, u, v], padded[:, u : u + n, v : v + m]
            )
    return total
