"""CPU microseconds a bond of one message-passing layer, beside two layers of plain e3nn, one thread, float32.

`ours`: `n2amd.network.layers.Interaction`, with all that it does to the nodes; messages and their derivatives
run compiled. `e3nn_full`: the convolution of e3nn's documentation, a
FullyConnectedTensorProduct of neighbours' features with spherical harmonics, whose weights a radial
perceptron makes for each bond. `e3nn_uvu`: that of e3nn's gate_points_2101 (NequIP's), channel by channel,
then a linear map. Both sum over the bonds of an atom, and neither looks at the receiving atom, as ours does.
Derivatives are those of weights and of the features that come in. Features in and out have the same
channels, natural and unnatural parity, in all. Bonds are those of shaken rutile within 5 A; what is computed
once a frame (Wigner matrices, harmonics) is in a column of its own. Fewest of several rounds, taken in turn.

python benchmarks/interaction.py [--repeat 5] [--out ...]
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import datetime
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from record import processor, write_csv
from torch import Tensor, nn

from n2amd.interop.structures import read_structure
from n2amd.network.features import Channels
from n2amd.network.graph import Bonds, build_graph
from n2amd.network.layers import BondGeometry, Interaction
from n2amd.network.radial import bessel
from n2amd.structure import Structure

RUTILE = Path(__file__).resolve().parents[1] / "resources/tio2-honpas/rutile.vasp"
#: Channels of each parity (no pseudoscalars): the preset `quick`, cut or continued.
CHANNELS = {2: (32, 24, 16), 4: (32, 24, 16, 8, 4), 6: (32, 24, 16, 8, 4, 4, 2)}
CUTOFF, N_RADIAL, HIDDEN = 5.0, 10, 48
#: Atoms whose bonds the layers with a weight of their own for each bond are timed on: these are large.
FEW_ATOMS = {2: 4, 4: 2, 6: 1}


class E3nnConvolution(nn.Module):
    """Convolution of e3nn's documentation, or of its gate_points_2101."""

    def __init__(self, irreps: str, l_max: int, full: bool) -> None:
        super().__init__()
        features, harmonics = o3.Irreps(irreps), o3.Irreps.spherical_harmonics(l_max)
        if full:
            self.product = o3.FullyConnectedTensorProduct(features, harmonics, features, shared_weights=False)
            self.linear: nn.Module = nn.Identity()
        else:
            middle, paths = [], []
            for i, (count, one) in enumerate(features):
                for j, (_, two) in enumerate(harmonics):
                    for out in one * two:
                        if out in features:
                            paths.append((i, j, len(middle), "uvu", True))
                            middle.append((count, out))
            self.product = o3.TensorProduct(
                features, harmonics, o3.Irreps(middle), paths, shared_weights=False, internal_weights=False
            )
            self.linear = o3.Linear(o3.Irreps(middle).simplify(), features)
        self.radial = e3nn_nn.FullyConnectedNet(
            [N_RADIAL, HIDDEN, self.product.weight_numel], nn.functional.silu
        )

    def forward(self, x: Tensor, bonds: Bonds, harmonics: Tensor, radial: Tensor) -> Tensor:
        messages = self.product(x[bonds.j], harmonics, self.radial(radial))
        return self.linear(x.new_zeros(len(x), messages.shape[1]).index_add(0, bonds.i, messages))


def seconds_of(function: Callable[[], object]) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


def bonds_of(n_atoms: int, bonds: Bonds) -> Bonds:
    """Bonds of the first atoms."""
    some = bonds.i < n_atoms
    return Bonds(bonds.i[some], bonds.j[some], bonds.shift[some])


def forward_backward(layer: nn.Module, run: Callable[[], Tensor]) -> None:
    """One pass there and back."""
    layer.zero_grad(set_to_none=True)
    run().square().sum().backward()


def cases(structure: Structure, l_max: int) -> dict[str, tuple[int, nn.Module, Callable[[], Tensor]]]:
    """Number of bonds, layer and a call of it, by name."""
    torch.manual_seed(0)
    graph = build_graph(structure, (8, 22), CUTOFF, {}, torch.float32)
    bonds, channels = graph.messages, Channels.both(CHANNELS[l_max])
    geometry = BondGeometry.of(bonds, graph.positions, graph.species, 2, CUTOFF, l_max, N_RADIAL)
    shapes = [(structure.n_atoms, channels.total(l), 2 * l + 1) for l in range(l_max + 1)]
    x = [torch.randn(shape, requires_grad=True) for shape in shapes]
    ours = Interaction(channels, geometry.radial.shape[1], HIDDEN, len(bonds) / structure.n_atoms)

    def run_ours() -> Tensor:
        return torch.cat([f.flatten(1) for f in ours(x, bonds, geometry)], dim=1)

    found: dict[str, tuple[int, nn.Module, Callable[[], Tensor]]] = {"ours": (len(bonds), ours, run_ours)}
    irreps = "+".join(
        f"{n}x{l}{parity}" for l, n in enumerate(CHANNELS[l_max]) for parity in ("eo" if l else "e")
    )
    flat = torch.randn(structure.n_atoms, o3.Irreps(irreps).dim, requires_grad=True)
    for name, full in (("e3nn_full", True), ("e3nn_uvu", False)):
        some = bonds_of(FEW_ATOMS[l_max] if full else structure.n_atoms // 4, bonds)
        vectors = some.vectors(graph.positions)
        harmonics = o3.spherical_harmonics(o3.Irreps.spherical_harmonics(l_max), vectors, normalize=True)
        radial = bessel(vectors.norm(dim=1) / CUTOFF, N_RADIAL)
        layer = E3nnConvolution(irreps, l_max, full)

        def run(layer=layer, some=some, harmonics=harmonics, radial=radial) -> Tensor:
            return layer(flat, some, harmonics, radial)

        found[name] = (len(some), layer, run)
    return found


def measure(structure: Structure, l_max: int, repeat: int) -> list[dict[str, object]]:
    """Time the layers of one l, one after the other in each round."""
    layers = cases(structure, l_max)
    graph = build_graph(structure, (8, 22), CUTOFF, {}, torch.float32)
    best: dict[tuple[str, str], float] = {}
    for _ in range(repeat + 1):  # the first round compiles
        for name, (_, layer, run) in layers.items():
            timed = {
                "forward_backward": seconds_of(lambda layer=layer, run=run: forward_backward(layer, run))
            }
            with torch.no_grad():
                timed["forward"] = seconds_of(run)
            for what, seconds in timed.items():
                best[name, what] = min(seconds, best.get((name, what), np.inf))
        geometry = (graph.messages, graph.positions, graph.species, 2, CUTOFF, l_max, N_RADIAL)
        once = seconds_of(lambda geometry=geometry: BondGeometry.of(*geometry))
        best["ours", "once"] = min(once, best.get(("ours", "once"), np.inf))
    rows = []
    for name, (n_bonds, layer, _) in layers.items():
        each = {what: 1e6 * seconds / n_bonds for (who, what), seconds in best.items() if who == name}
        rows.append(
            {
                "l_max": l_max,
                "layer": name,
                "bonds": n_bonds,
                "parameters": sum(p.numel() for p in layer.parameters()),
                **{f"{what}_us_per_bond": round(value, 1) for what, value in each.items()},
            }
        )
    return rows


def main() -> None:
    default = Path(__file__).parent / "results" / "interaction.csv"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cell = read_structure(RUTILE).supercell((2, 2, 2))
    noise = 0.05 * np.random.default_rng(0).normal(size=cell.positions.shape)
    structure = cell.with_positions(cell.positions + noise)
    about = {"date": datetime.date.today().isoformat(), "processor": processor()}
    rows = []
    for l_max in CHANNELS:
        for row in measure(structure, l_max, arguments.repeat):
            rows.append({**about, **row})
            print(row, flush=True)
    write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
