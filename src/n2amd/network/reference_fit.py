"""Fit of the linear reference, and the residual targets left for the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from n2amd.network.data import Sample, Targets, collate_samples
from n2amd.network.model import HamiltonianNetwork
from n2amd.network.reference import smooth_least_squares

#: Weights of the smoothness of the radial functions; chosen on unseen frames of rutile.
PAIR_ROUGHNESS, SITE_ROUGHNESS = 1e-4, 1e-2


@torch.no_grad()
def fit_reference(model: HamiltonianNetwork, samples: Sequence[Sample]) -> None:
    """Least-squares fit of the two-centre reference to the training samples, in float64."""
    graph, targets = collate_samples(samples)
    reference = model.reference
    for (a, b), bonds in graph.pairs.items():
        assembly = model.assembly(a, b)
        geometry = model.geometry(bonds, graph, model.architecture.ranges[a, b])
        parts = assembly.decompose(targets.pair[a, b])
        design = reference.pair_basis((a, b), geometry.distance)
        for l, part in enumerate(parts):
            if count := assembly.channels.natural[l]:
                # project on Y_l of the bond: the m = 0 component in its frame
                along = torch.einsum("ncm,nm->nc", part[:, :count], geometry.wigner[l][:, l].double())
                getattr(reference, f"pair_{a}_{b}_{l}").copy_(
                    smooth_least_squares(design, along, reference.n_splines, PAIR_ROUGHNESS)
                )
    messages = model.geometry(graph.messages, graph, model.architecture.message_cutoff)
    sums = reference.site_basis(
        len(graph.positions), graph.species, graph.messages.i, graph.messages.j, messages
    )
    for k, z in enumerate(model.numbers):
        atoms = torch.nonzero(graph.species == k).flatten()
        assembly = model.assembly(z)
        parts = assembly.decompose(targets.site[z])
        for l, part in enumerate(parts):
            if not (count := assembly.channels.natural[l]):
                continue
            design, wanted = sums[l][atoms], part[:, :count]
            if l == 0:
                constant = wanted.mean(dim=(0, 2))
                getattr(reference, f"constant_{z}").copy_(constant)
                wanted = wanted - constant[:, None]
            rows = design.permute(0, 2, 1).reshape(-1, design.shape[1])
            columns = wanted.permute(0, 2, 1).reshape(-1, count)
            getattr(reference, f"site_{z}_{l}").copy_(
                smooth_least_squares(rows, columns, reference.n_splines, SITE_ROUGHNESS)
            )


@torch.no_grad()
def residual_targets(model: HamiltonianNetwork, sample: Sample) -> Targets:
    """Return H minus the reference for one sample, float32."""
    site, pair = model(sample.graph.to(next(model.parameters()).device), correct=False)
    return Targets(
        {z: (blocks - site[z].cpu()).float() for z, blocks in sample.targets.site.items()},
        {k: (blocks - pair[k].cpu()).float() for k, blocks in sample.targets.pair.items()},
    )
