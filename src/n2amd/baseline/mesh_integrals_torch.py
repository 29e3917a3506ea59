"""`n2amd.baseline.mesh_integrals` in plain torch operations, on a CPU or a GPU: the readable reference.

Boxes are taken in batches. In a batch the atom images of one element fill slots, and an empty slot holds
zeros: then everything is a batched matrix product for each pair of elements. Memory is that of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.baseline.mesh_integrals import MeshOrbitals, as_fields, real_half
from n2amd.baseline.pair_lookup import PairLayout
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.harmonics import solid_components
from n2amd.structure import Structure

#: Boxes of a batch. A batch of 64 takes about 100 MB.
BATCH = 64


def potential_matrix_torch(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    potential: NDArray[np.float64],
    pairs: Mapping[SpeciesPair, PairIndex],
    *,
    device: torch.device | str = "cpu",
    batch: int = BATCH,
) -> BlockMatrix:
    """Matrix elements of a potential on a device: `mesh_integrals.potential_matrix`.

    Parameters
    ----------
    basis, structure, mesh, potential, pairs
        As there.
    device
        Where to compute, in float64.
    batch
        Boxes taken at once.
    """
    orbitals = MeshOrbitals.of(basis, structure, mesh)
    layout = orbitals.layout(pairs)
    fields = torch.as_tensor(as_fields(potential, mesh) * mesh.volume_element, device=device)
    values = torch.zeros(len(fields), layout.size, dtype=torch.float64, device=device)
    for part in _batches(orbitals, structure, batch, device):
        weights = fields[:, part.points] * part.inside
        for bra, ket, places, _ in part.products(layout):
            right = part.orbitals[ket].flatten(1, 2).transpose(1, 2)
            for field, out in zip(weights, values):
                left = (part.orbitals[bra] * field[:, None, None]).flatten(1, 2)
                _add(out, places.flat, places.select(_blocks(left @ right, part, bra, ket)))
    return BlockMatrix(dict(pairs), layout.unpack(values.cpu().numpy()))


def density_on_mesh_torch(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    density_matrix: BlockMatrix,
    *,
    device: torch.device | str = "cpu",
    batch: int = BATCH,
) -> NDArray[np.float64]:
    """Density of a density matrix on a device: `mesh_integrals.density_on_mesh`.

    Parameters
    ----------
    basis, structure, mesh, density_matrix
        As there.
    device, batch
        As for `potential_matrix_torch`.
    """
    orbitals = MeshOrbitals.of(basis, structure, mesh)
    layout = orbitals.layout(density_matrix.pairs)
    values = torch.as_tensor(layout.pack(real_half(density_matrix)), device=device)
    density = torch.zeros(len(values), mesh.n_points, dtype=torch.float64, device=device)
    for part in _batches(orbitals, structure, batch, device):
        for bra, ket, places, weight in part.products(layout):
            left, right = part.orbitals[bra], part.orbitals[ket]
            for spin, out in zip(values, density):
                blocks = right.new_zeros(*left.shape[:2], *right.shape[1:3], left.shape[2])
                blocks[places.box, places.bra, places.ket] = (weight * spin[places.flat]).transpose(1, 2)
                matrix = blocks.permute(0, 1, 4, 2, 3).flatten(3, 4).flatten(1, 2)
                turned = matrix @ right.flatten(1, 2)
                # points that fill up a smaller box count nothing
                added = (left.flatten(1, 2) * turned).sum(1) * part.inside
                _add(out, part.points, added)
    return density.reshape(-1, *mesh.shape).cpu().numpy()


@dataclass(frozen=True)
class _Places:
    """Where the blocks of listed pairs stand: in a batched product and in the flat array.

    Attributes
    ----------
    box, bra, ket
        Box and slots of each pair, (n_found,).
    flat
        Its elements in the flat array, (n_found, n_bra, n_ket).
    """

    box: Tensor
    bra: Tensor
    ket: Tensor
    flat: Tensor

    def select(self, blocks: Tensor) -> Tensor:
        """Blocks (n_found, n_bra, n_ket) of a product (n_boxes, bra slots, n_bra, ket slots, n_ket)."""
        return blocks[self.box, self.bra, :, self.ket]


@dataclass(frozen=True)
class _Batch:
    """Orbitals of some boxes.

    Attributes
    ----------
    points
        Flat indices of the mesh points, (n_boxes, n_points).
    inside
        1, or 0 where a smaller box is filled up, (n_boxes, n_points).
    orbitals
        Of each element, (n_boxes, n_slots, n_orbitals, n_points).
    atom, shift
        Of each element the atom in a slot, (n_boxes, n_slots), -1 if empty, and its translation.
    counts
        Orbitals of each atom.
    """

    points: Tensor
    inside: Tensor
    orbitals: list[Tensor]
    atom: list[NDArray[np.int64]]
    shift: list[NDArray[np.int64]]
    counts: NDArray[np.int64]

    def products(self, layout: PairLayout) -> Iterator[tuple[int, int, _Places, Tensor]]:
        """Iterate over pairs of elements with their listed pairs and how often each counts in a trace."""
        search = _Search(layout)
        for bra in range(len(self.atom)):
            for ket in range(bra, len(self.atom)):
                i, j = self.atom[bra][:, :, None], self.atom[ket][:, None, :]
                wanted = (i >= 0) & (j >= 0)
                if bra == ket:
                    wanted &= np.arange(i.shape[1])[:, None] <= np.arange(j.shape[2])
                box, s, t = np.nonzero(wanted)
                a, b = self.atom[bra][box, s], self.atom[ket][box, t]
                entry, swapped = search.find(a, b, self.shift[ket][box, t] - self.shift[bra][box, s])
                found = entry >= 0
                if not found.any():
                    continue
                box, s, t = box[found], s[found], t[found]
                flat = _elements(
                    layout, entry[found], swapped[found], self.counts[a[found][0]], self.counts[b[found][0]]
                )
                weight = np.where((bra == ket) & (s == t), 1.0, 2.0)
                device = self.points.device
                places = _Places(*(torch.as_tensor(x, device=device) for x in (box, s, t, flat)))
                yield bra, ket, places, torch.as_tensor(weight, device=device)[:, None, None]


class _Search:
    """Vectorised search of a `PairLayout`."""

    def __init__(self, layout: PairLayout) -> None:
        self._lookup = layout.lookup
        self._n_atoms = len(self._lookup.row) - 1

    @property
    def _row_size(self) -> int:
        return self._n_atoms * (2 * self._lookup.half_span + 1) ** 3

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        rows = np.repeat(np.arange(self._n_atoms), np.diff(self._lookup.row))
        return rows * self._row_size + self._lookup.code

    def find(
        self, i: NDArray[np.int64], j: NDArray[np.int64], shift: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Entries of pairs, -1 where not listed, and whether the block is stored the other way round."""
        swapped = i > j
        low, high = np.where(swapped, j, i), np.where(swapped, i, j)
        shift = np.where(swapped[:, None], -shift, shift)
        half, span = self._lookup.half_span, 2 * self._lookup.half_span + 1
        a, b, c = (shift + half).T
        wanted = low * self._row_size + ((high * span + a) * span + b) * span + c
        keys = self._keys
        place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        near = (np.abs(shift) <= half).all(axis=1)
        found = near & (keys[place] == wanted) if len(keys) else np.zeros(len(i), dtype=bool)
        entry = np.where(found, place, -1)
        return entry, swapped ^ (
            found & self._lookup.transposed[np.maximum(entry, 0)] if len(keys) else found
        )


def _elements(
    layout: PairLayout, entry: NDArray[np.int64], swapped: NDArray[np.bool_], n_bra: int, n_ket: int
) -> NDArray[np.int64]:
    """Places in the flat array of blocks (n_found, n_bra, n_ket)."""
    row = np.where(swapped, 1, n_ket)[:, None, None] * np.arange(n_bra)[:, None]
    column = np.where(swapped, n_bra, 1)[:, None, None] * np.arange(n_ket)
    return layout.lookup.base[entry][:, None, None] + row + column


def _blocks(product: Tensor, part: _Batch, bra: int, ket: int) -> Tensor:
    """Product (n_boxes, rows, columns) by slots and orbitals."""
    return product.unflatten(2, part.orbitals[ket].shape[1:3]).unflatten(1, part.orbitals[bra].shape[1:3])


def _add(out: Tensor, index: Tensor, values: Tensor) -> None:
    """Add values at repeated indices in a fixed order: each device has one operation that does so."""
    if out.is_cuda:
        out.index_put_((index.flatten(),), values.flatten(), accumulate=True)
    else:
        out.index_add_(0, index.flatten(), values.flatten())


def _batches(
    orbitals: MeshOrbitals, structure: Structure, size: int, device: torch.device | str
) -> Iterator[_Batch]:
    """Evaluate the orbitals of `size` boxes at a time."""
    for begin in range(0, orbitals.boxes.total, size):
        numbers = np.arange(begin, min(begin + size, orbitals.boxes.total))
        points, inside, positions = _points(orbitals, numbers)
        place = torch.as_tensor(positions, device=device)
        phi, atoms, shifts = [], [], []
        for element in range(len(orbitals.splines.first) - 1):
            atom, shift = _slots(orbitals, numbers, element)
            filled = atom >= 0
            origins = structure.positions[atom[filled]] + shift[filled] @ structure.cell
            box = torch.as_tensor(np.nonzero(filled)[0], device=device)
            vectors = place[box] - torch.as_tensor(origins, device=device)[:, None]
            values = _evaluate(orbitals, element, vectors)
            target = values.new_zeros(*atom.shape, *values.shape[1:])
            target[torch.as_tensor(filled, device=device)] = values
            phi.append(target)
            atoms.append(atom)
            shifts.append(shift)
        yield _Batch(
            torch.as_tensor(points, device=device),
            torch.as_tensor(inside.astype(np.float64), device=device),
            phi,
            atoms,
            shifts,
            orbitals.atoms.orbitals,
        )


def _points(
    orbitals: MeshOrbitals, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Flat indices, which of them belong to the box, and positions, of the points of boxes."""
    boxes = orbitals.boxes
    box = np.stack(np.unravel_index(numbers, tuple(boxes.divisions)), axis=-1)
    first, last = (np.stack([boxes.bounds[d, box[:, d] + e] for d in range(3)], -1) for e in (0, 1))
    edges = (last - first).max(axis=0)
    grid = np.stack(np.meshgrid(*map(np.arange, edges), indexing="ij"), axis=-1).reshape(-1, 3)
    index = first[:, None] + grid
    inside = np.all(index < last[:, None], axis=-1, keepdims=False)
    index = np.where(inside[..., None], index, first[:, None])
    flat = np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), tuple(boxes.shape))
    return flat, inside, (index / boxes.shape) @ boxes.cell


def _slots(
    orbitals: MeshOrbitals, numbers: NDArray[np.int64], element: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Atoms of an element near each box, (n_boxes, n_slots), -1 if empty, and their translations."""
    images = orbitals.images
    entries = np.arange(images.starts[numbers[0]], images.starts[numbers[-1] + 1])
    entries = entries[orbitals.atoms.element[images.atom[entries]] == element]
    box = np.searchsorted(images.starts, entries, side="right") - 1 - numbers[0]
    slot = np.arange(len(entries)) - np.searchsorted(box, box)
    shape = (len(numbers), int(slot.max(initial=-1)) + 1)
    atom, shift = np.full(shape, -1), np.zeros((*shape, 3), dtype=np.int64)
    atom[box, slot], shift[box, slot] = images.atom[entries], images.shift[entries]
    return atom, shift


def _evaluate(orbitals: MeshOrbitals, element: int, vectors: Tensor) -> Tensor:
    """Orbitals (n_images, n_orbitals, n_points) at vectors (n_images, n_points, 3) from their atom."""
    splines = orbitals.splines
    functions = range(splines.first[element], splines.first[element + 1])
    r = torch.linalg.vector_norm(vectors, dim=-1)
    harmonics = torch.stack(solid_components(int(splines.l[functions].max()), *vectors.unbind(-1)), dim=1)
    parts = []
    for f in functions:
        l, step = int(splines.l[f]), float(splines.step[f])
        rows = splines.coefficients[splines.start[f] : splines.start[f] + splines.intervals[f] + 1]
        interval = (r / step).long().clamp(max=len(rows) - 1)
        c = torch.as_tensor(rows, device=vectors.device)[interval].unbind(-1)
        t = r - interval.to(r.dtype) * step
        radial = (c[0] + t * (c[1] + t * (c[2] + t * c[3]))) * (r < splines.reach[f])
        parts.append(radial[:, None] * harmonics[:, l * l : (l + 1) ** 2])
    return torch.cat(parts, dim=1)
