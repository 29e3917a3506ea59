"""Training of the density network on fitted densities: quadratic forms of each frame, no matrix elements.

The loss of a frame is the norm of its density's error (`n2amd.baseline.density_fit`), which weighs the
potential that the error makes, and the first-order error of the states around the gap
(`n2amd.baseline.state_response`): both are quadratic in the coefficients, so that a step costs one
matrix-vector product a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from n2amd.network.density_model import DensityNetwork
from n2amd.network.ewald import FieldWaves
from n2amd.network.graph import Graph, collate
from n2amd.network.loop import Schedule, TrainingLoop
from n2amd.network.ranks import ALONE, Ranks


@dataclass(frozen=True)
class MagneticPart:
    """What a frame with collinear spins tells of its magnetisation rho_up - rho_down.

    Attributes
    ----------
    moment
        Its integral: electrons of spin up minus those of spin down.
    right, norm
        Of the quadratic form of its error, whose matrix is that of the density.
    """

    moment: float
    right: Tensor
    norm: float


@dataclass(frozen=True)
class DensitySample:
    """One frame for the density network.

    Attributes
    ----------
    name
        Of the frame.
    graph
        Atoms and message bonds, float32.
    waves
        For the latent field.
    excess
        Electrons beyond the neutral atoms.
    matrix, right, norm
        Quadratic form of the density's error, see `NormalEquations`; float32, float64, float.
    response, wanted
        First-order change of matrix elements between states with the coefficients (n_elements, n_functions),
        float32, and the values it should reach, (n_elements,), float64, eV.
    edges
        Rows of `response` that are the energies of VBM and CBM, of each spin channel.
    levels
        Rows that are energies of states, the edges among them; none: only the edges are known to be.
    magnetic
        Of a frame with collinear spins, whose coefficients are (2, n_functions), of density and
        magnetisation, and its `response` (n_elements, 2 n_functions); None without.
    """

    name: str
    graph: Graph
    waves: FieldWaves
    excess: float
    matrix: Tensor
    right: Tensor
    norm: float
    response: Tensor
    wanted: Tensor
    edges: tuple[int, ...]
    levels: tuple[int, ...] = ()
    magnetic: MagneticPart | None = None

    @property
    def n_atoms(self) -> int:
        """Atoms of the frame."""
        return len(self.graph.positions)

    def density_error(self, coefficients: Tensor) -> Tensor:
        """Norm |d|^2 of the density's error."""
        density = coefficients if self.magnetic is None else coefficients[0]
        return self._norm(density, self.right, self.norm)

    def magnetic_error(self, coefficients: Tensor) -> Tensor:
        """Norm |d|^2 of the magnetisation's error; zero without spins."""
        if self.magnetic is None:
            return torch.zeros((), dtype=torch.float64)
        return self._norm(coefficients[1], self.magnetic.right, self.magnetic.norm)

    def _norm(self, coefficients: Tensor, right: Tensor, norm: float) -> Tensor:
        single = coefficients.float()
        return (single @ (self.matrix @ single)).double() - 2 * (right @ coefficients) + norm

    def state_errors(self, coefficients: Tensor) -> Tensor:
        """First-order errors of matrix elements between states, (n_elements,), eV."""
        return (self.response @ coefficients.flatten().float()).double() - self.wanted

    @property
    def moment(self) -> float | None:
        """Electrons of spin up minus those of spin down; None without collinear spins."""
        return None if self.magnetic is None else self.magnetic.moment


@torch.no_grad()
def loss_scales(model: DensityNetwork, samples: Sequence[DensitySample]) -> tuple[float, float]:
    """What the errors of density (an atom) and of states (mean square, eV^2) count against.

    Those of average atoms, which is where the network starts.
    """
    average = _averages(model, samples)
    densities = sum(float(s.density_error(c)) for s, c in zip(samples, average))
    states = torch.cat([s.state_errors(c) for s, c in zip(samples, average)])
    atoms = sum(s.n_atoms for s in samples)
    return densities / atoms, float(states.square().mean()) if len(states) else 1.0


@torch.no_grad()
def magnetic_scale(model: DensityNetwork, samples: Sequence[DensitySample]) -> float:
    """What the error of a magnetisation counts against: that of average atoms, an atom; 1 without spins."""
    magnetic = [s for s in samples if s.moment]
    total = sum(float(s.magnetic_error(c)) for s, c in zip(magnetic, _averages(model, magnetic)))
    return total / sum(s.n_atoms for s in magnetic) if magnetic else 1.0


def _averages(model: DensityNetwork, samples: Sequence[DensitySample]) -> list[Tensor]:
    return [model.average(s.graph.to(model.device), s.excess, s.moment).cpu() for s in samples]


class DensityTrainer(TrainingLoop):
    """Training run of the density network.

    Parameters
    ----------
    model
        The network, its scales fitted.
    train, validation
        Samples.
    schedule
        Length and rates.
    atoms_per_step
        Frames are drawn until a step holds about this many atoms.
    state_weight
        Weight of the states' errors.
    seed, checkpoint, fingerprint, ranks
        See `TrainingLoop`.
    """

    model: DensityNetwork

    def __init__(
        self,
        model: DensityNetwork,
        train: Sequence[DensitySample],
        validation: Sequence[DensitySample],
        schedule: Schedule,
        *,
        atoms_per_step: int,
        state_weight: float,
        seed: int,
        checkpoint: Path,
        fingerprint: str,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(model, schedule, seed, checkpoint, fingerprint, ranks)
        self.train, self.validation = list(train), list(validation)
        self.atoms_per_step, self.state_weight = atoms_per_step, state_weight
        sizes = np.array([s.n_atoms for s in self.train], dtype=np.float64)
        self.probability = sizes / sizes.sum()
        self.density_scale, self.state_scale = loss_scales(model, self.train)
        self.magnetic_scale = magnetic_scale(model, self.train)

    def coefficients(self, samples: Sequence[DensitySample]) -> list[Tensor]:
        """Predicted coefficients of each sample."""
        graph = collate([s.graph for s in samples]).to(self.device)
        frames = [s.waves.to(self.device) for s in samples]
        return self.model.coefficients(
            graph, frames, [s.excess for s in samples], [s.moment for s in samples]
        )

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Loss of this process' share of a batch of about `atoms_per_step` atoms."""
        batch = self._draw(rng)
        total, atoms = torch.zeros((), dtype=torch.float64), sum(s.n_atoms for s in batch)
        samples = self.ranks.share(batch)
        if not samples:
            return total
        for sample, c in zip(samples, self.coefficients(samples)):
            total = total + self._part(sample, c.cpu(), atoms)
        return total

    def _part(self, sample: DensitySample, coefficients: Tensor, atoms: int) -> Tensor:
        """What a frame adds to the loss of frames that have so many atoms together."""
        part = sample.density_error(coefficients) / (self.density_scale * atoms)
        if sample.moment:
            part = part + sample.magnetic_error(coefficients) / (self.magnetic_scale * atoms)
        if len(sample.wanted):
            states = sample.state_errors(coefficients).square().mean() / self.state_scale
            part = part + self.state_weight * (sample.n_atoms / atoms) * states
        return part

    def _draw(self, rng: np.random.Generator) -> list[DensitySample]:
        """Draw frames of one size class, each atom of the set alike probable."""
        first = int(rng.choice(len(self.train), p=self.probability))
        chosen, atoms = [first], self.train[first].n_atoms
        while atoms + self.train[first].n_atoms <= self.atoms_per_step:
            like = [
                k
                for k, s in enumerate(self.train)
                if k not in chosen and atoms + s.n_atoms <= self.atoms_per_step
            ]
            if not like:
                break
            chosen.append(int(rng.choice(like)))
            atoms += self.train[chosen[-1]].n_atoms
        return [self.train[k] for k in chosen]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss of the validation frames, by which the weights to keep are chosen, and what it is made of.

        The loss, not the band edges alone: those of a few frames are right by chance now and then.
        """
        atoms = sum(s.n_atoms for s in self.validation)
        loss = sum(float(self._part(s, self.coefficients([s])[0].cpu(), atoms)) for s in self.validation)
        return {"loss": loss, **density_scores(self.model, self.validation, self.device)}


@torch.no_grad()
def density_scores(
    model: DensityNetwork, samples: Sequence[DensitySample], device: torch.device | str = "cpu"
) -> dict[str, float]:
    """First-order errors (rms) of elements between states and of edges; the densities' unexplained share."""
    states, edges = list[float](), list[float]()
    left, norm = [0.0, 0.0], [0.0, 0.0]
    for sample in samples:
        (c,) = model.coefficients(
            sample.graph.to(device), [sample.waves.to(device)], [sample.excess], [sample.moment]
        )
        c = c.cpu()
        left[0] += float(sample.density_error(c))
        norm[0] += sample.norm
        if sample.magnetic is not None and sample.moment:
            left[1] += float(sample.magnetic_error(c))
            norm[1] += sample.magnetic.norm
        errors = sample.state_errors(c).tolist()
        states += errors
        edges += [errors[k] for k in sample.edges]
    rms = {
        name: 1e3 * float(np.sqrt(np.mean(np.square(values))))
        for name, values in (("states_rms_meV", states), ("edges_rms_meV", edges))
    }
    scores = {**rms, "density_unexplained": left[0] / norm[0]}
    return {**scores, "magnetisation_unexplained": left[1] / norm[1]} if norm[1] else scores
