"""Where the errors of the matrix elements sit: on-site or between atoms, element, shell pair, distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, SpeciesPair
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis

#: Bin width of the errors by distance, Angstrom.
DISTANCE_BIN_A = 0.5
#: Matrix elements kept for the parity figure.
PARITY_ELEMENTS = 4000
_SHELLS = "spdfgh"


@dataclass(frozen=True)
class Elements:
    """Matrix elements of H within the model's range, one row each.

    Attributes
    ----------
    dft, model
        eV, (n,); the model's in DFT's gauge.
    raw
        The model's before that, eV, (n,).
    species, shells
        Number of the species pair (`species_pairs`) and l of both shells, (n,) and (n, 2).
    distance
        Between the atoms, Angstrom, (n,).
    on_site
        Elements of one atom with itself, (n,).
    """

    dft: NDArray[np.float64]
    model: NDArray[np.float64]
    raw: NDArray[np.float64]
    species: NDArray[np.int64]
    shells: NDArray[np.int64]
    distance: NDArray[np.float64]
    on_site: NDArray[np.bool_]

    @property
    def error(self) -> NDArray[np.float64]:
        """Absolute error, eV, (n,)."""
        return np.abs(self.model - self.dft)

    @classmethod
    def of_frame(
        cls,
        frame: Frame,
        aligned: BlockMatrix,
        raw: BlockMatrix,
        basis: Basis,
        ranges: Mapping[SpeciesPair, float],
    ) -> Elements:
        """Take the elements of one frame; `aligned` and `raw` are on the pairs of the frame's H."""
        rows: list[tuple[NDArray, ...]] = []
        for key, index in frame.hamiltonian.pairs.items():
            length = np.linalg.norm(index.vectors(frame.structure), axis=1)
            within = (length < ranges.get(key, 0.0)) | index.on_site
            reference = frame.hamiltonian.values[key][0, within]
            n, size = len(reference), reference[0].size if len(reference) else 0
            l_of = [np.concatenate([[s.l] * s.n_orbitals for s in basis[z].shells]) for z in key]
            pairs = np.stack(np.meshgrid(*l_of, indexing="ij"), -1).reshape(-1, 2)
            rows.append(
                (
                    reference.ravel(),
                    aligned.values[key][0, within].ravel(),
                    raw.values[key][0, within].ravel(),
                    np.full(n * size, species_pairs(basis).index(key)),
                    np.tile(pairs, (n, 1)),
                    np.repeat(length[within], size),
                    np.repeat(index.on_site[within], size),
                )
            )
        return cls(*(np.concatenate(column) for column in zip(*rows)))

    @classmethod
    def joined(cls, parts: Sequence[Elements]) -> Elements:
        """Put the elements of several frames one after the other."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def species_pairs(basis: Basis) -> list[SpeciesPair]:
    """Species pairs z_i <= z_j in the order of `Elements.species`."""
    return [(a, b) for a in basis.numbers for b in basis.numbers if a <= b]


def figures(error: NDArray[np.float64]) -> dict[str, Any]:
    """Mean, root mean square and largest of absolute errors (eV), in meV; None where there are none."""
    if not len(error):
        return {"mae_meV": None, "rms_meV": None, "max_meV": None, "n": 0}
    return {
        "mae_meV": 1e3 * float(error.mean()),
        "rms_meV": 1e3 * float(np.sqrt((error**2).mean())),
        "max_meV": 1e3 * float(error.max()),
        "n": len(error),
    }


def by_site(elements: Elements) -> list[dict[str, Any]]:
    """Errors of on-site elements and of those between two atoms."""
    error = elements.error
    kinds = ("on-site", elements.on_site), ("off-site", ~elements.on_site)
    return [{"site": name, **figures(error[mask])} for name, mask in kinds]


def by_element(elements: Elements, basis: Basis) -> list[dict[str, Any]]:
    """Errors of on-site elements of each chemical element."""
    rows = []
    for number, (a, b) in enumerate(species_pairs(basis)):
        mask = elements.on_site & (elements.species == number)
        if a == b and mask.any():
            rows.append({"element": chemical_symbols[a], **figures(elements.error[mask])})
    return rows


def by_species_pair(elements: Elements, basis: Basis) -> list[dict[str, Any]]:
    """Errors of elements between two atoms of each species pair."""
    rows = []
    for number, key in enumerate(species_pairs(basis)):
        mask = ~elements.on_site & (elements.species == number)
        if mask.any():
            rows.append({"pair": _name(key), **figures(elements.error[mask])})
    return rows


def by_shell_pair(elements: Elements, basis: Basis) -> list[dict[str, Any]]:
    """Errors of each species pair and pair of shells, in all, on-site and between atoms."""
    error, rows = elements.error, []
    label = elements.species * 100 + elements.shells @ np.array([10, 1])
    for value in np.unique(label):
        mask = label == value
        first, second = divmod(int(value) % 100, 10)
        rows.append(
            {
                "pair": _name(species_pairs(basis)[int(value) // 100]),
                "shells": f"{_SHELLS[first]}-{_SHELLS[second]}",
                "mae_meV": 1e3 * float(error[mask].mean()),
                "on_site_mae_meV": figures(error[mask & elements.on_site])["mae_meV"],
                "off_site_mae_meV": figures(error[mask & ~elements.on_site])["mae_meV"],
                "n": int(mask.sum()),
            }
        )
    return rows


def by_distance(elements: Elements) -> list[dict[str, Any]]:
    """Errors by distance between the atoms, on-site elements at zero."""
    bins = np.floor(elements.distance / DISTANCE_BIN_A).astype(int)
    rows = []
    for k in np.unique(bins):
        found = figures(elements.error[bins == k])
        rows.append({"distance_A": 0.0 if k == 0 else (k + 0.5) * DISTANCE_BIN_A, **found})
    return rows


def parity_sample(elements: Elements, seed: int) -> dict[str, NDArray[np.float64]]:
    """Some elements, drawn at random, for the figure."""
    n = len(elements.dft)
    chosen = np.random.default_rng(seed).choice(n, size=min(PARITY_ELEMENTS, n), replace=False)
    chosen.sort()
    return {
        "dft_eV": elements.dft[chosen],
        "model_eV": elements.model[chosen],
        "distance_A": elements.distance[chosen],
    }


def _name(key: SpeciesPair) -> str:
    return f"{chemical_symbols[key[0]]}-{chemical_symbols[key[1]]}"
