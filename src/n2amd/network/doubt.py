"""How well a density network knows what it predicts: a posterior of its last linear layer.

The coefficients are linear in the weights of the last layer and the loss is quadratic in the coefficients, so
that the posterior of these weights is Gaussian, exactly and in closed form (Laplace; D. J. C. MacKay, Neural
Comput. 4, 448 (1992); J. Snoek et al., ICML 37, 2171 (2015)):

    precision = sum over frames J^T (A / s_rho + w R^T R / s_states) J + prior,    J = dc / dweights

(made in `n2amd.network.doubt_fit`). A few draws of the weights are kept in the model file; the same
draws are used for every frame, so that errors that frames share stay shared.

Of a network with collinear spins the weights are those of both heads, of the density and then of the
magnetisation of a positive moment. The states' part of the loss ties them to each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from n2amd.network.density_model import DensityNetwork
from n2amd.network.ewald import FieldWaves
from n2amd.network.graph import Graph


@dataclass(frozen=True)
class DensityDoubt:
    """Draws of the last layer's weights from their posterior, calibrated.

    Attributes
    ----------
    draws
        Changes of the weights, (K, n_weights), in the order of `weight_changes`; float32.
    prior
        Precision of every weight over the mean curvature of the loss.
    temperature
        Factor on every spread, already in the draws: error over spread of the validation frames' levels
        before calibration.
    spread_eV
        Root mean square spread of the validation frames' band edges after calibration.
    n_levels
        Levels of validation frames that the temperature is made from.
    noise
        Norm of a density's error (`n2amd.baseline.density_fit`) an atom that a label is worth: the precision
        of a frame's labels is its curvature over this.
    magnetic_noise
        The same of a magnetisation's error; None of a network without spin.
    """

    draws: Tensor
    prior: float
    temperature: float
    spread_eV: float
    n_levels: int
    noise: float
    magnetic_noise: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Tensors and plain types, for the model file; one without spin does not mention it."""
        document = {**asdict(self), "draws": self.draws}
        if self.magnetic_noise is None:
            del document["magnetic_noise"]
        return document

    @property
    def noises(self) -> tuple[float, ...]:
        """What labels of the density are worth, and of the magnetisation where there is one."""
        return (self.noise,) if self.magnetic_noise is None else (self.noise, self.magnetic_noise)

    def of_heads(self, network: DensityNetwork) -> tuple[Tensor, Tensor]:
        """Draws of the density's weights, and of the magnetisation's, (K, n_weights) or (K, 0)."""
        n = n_weights(network)
        return self.draws[:, :n], self.draws[:, n:]

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> DensityDoubt:
        """Inverse of `to_dict`."""
        return cls(**document)


@dataclass(frozen=True)
class _Part:
    """Weights of one element and l: `width` inputs (with the bias, for l = 0) to `n` functions."""

    number: int
    l: int
    inputs: int
    width: int
    n: int
    weights: slice
    columns: slice


def _parts(network: DensityNetwork) -> Iterator[_Part]:
    start = 0
    for z in network.numbers:
        column = 0
        inputs = network.site_readout(z).second.inputs.natural
        for l, n in enumerate(network.auxiliary.counts(z)):
            width = inputs[l] + (l == 0)
            size = n * (2 * l + 1)
            yield _Part(
                z, l, inputs[l], width, n, slice(start, start + width * n), slice(column, column + size)
            )
            start += width * n
            column += size


def n_weights(network: DensityNetwork) -> int:
    """Weights of the last layer of a head, biases included; those of the magnetisation's are as many."""
    return sum(part.width * part.n for part in _parts(network))


@torch.no_grad()
def weight_changes(
    network: DensityNetwork,
    graph: Graph,
    waves: FieldWaves,
    changes: Tensor | None = None,
    moment: float | None = None,
) -> Tensor:
    """Change of one frame's coefficients with the weights of a head's last layer, electrons conserved.

    Parameters
    ----------
    network, graph, waves
        Network and frame, on one device.
    changes
        Of the weights, (K, n_weights): per element and l the matrix (inputs and, for l = 0, bias; functions),
        row after row. Default: a unit change of each weight.
    moment
        None: of the density. Else of the magnetisation of a frame with this moment: the sign is the moment's,
        and without a moment there is no change.

    Returns
    -------
    coefficients
        (n_total, K), float64, in the order of `AuxiliaryBasis.offsets`.
    """
    of = "" if moment is None else "magnetic_"
    features = network.last_features(graph, [waves], magnetic=moment is not None)
    if changes is None:
        changes = torch.eye(n_weights(network), dtype=torch.float32)
    changes = changes.to(network.device)
    by_element = {
        z: torch.zeros(len(parts[0]), network.auxiliary.n_functions(z), len(changes), device=network.device)
        for z, parts in features.items()
    }
    for part in _parts(network):
        if part.number not in features or not part.n:
            continue
        x = features[part.number][part.l][:, : part.inputs]
        if part.l == 0:
            x = torch.cat([x, x.new_ones(len(x), 1, 1)], dim=1)
        weights = changes[:, part.weights].reshape(-1, part.width, part.n)
        found = torch.einsum("acm,kcq->aqmk", x, weights)
        by_element[part.number][:, part.columns] = found.flatten(1, 2)
    found = _in_order(network, graph, by_element, of)
    return found if moment is None else found * float(np.sign(moment))


def _in_order(network: DensityNetwork, graph: Graph, by_element: dict[int, Tensor], of: str) -> Tensor:
    """Scale the outputs, sort them by atom and take the electrons out of them."""
    numbers = np.array([network.numbers[k] for k in graph.species.cpu().numpy()])
    offsets = network.auxiliary.offsets(numbers)
    first = next(iter(by_element.values()))
    total = first.new_zeros(int(offsets[-1]), first.shape[2], dtype=torch.float64)
    charge, spread = (total.new_zeros(len(total)) for _ in range(2))
    for z, values in by_element.items():
        scale = getattr(network, f"{of}scale_{z}")
        places = offsets[np.flatnonzero(numbers == z)][:, None] + np.arange(len(scale))
        rows = torch.from_numpy(places.ravel()).to(total.device)
        total[rows] = (values.double() * scale[:, None]).flatten(0, 1)
        charge[rows] = getattr(network, f"charge_{z}").repeat(len(values))
        spread[rows] = scale.square().repeat(len(values))
    along = spread * charge / (spread * charge.square()).sum()
    return total - torch.outer(along, charge @ total)
