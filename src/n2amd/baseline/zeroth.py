"""H0 of any structure from atoms and a model density, without a DFT run.

    H0 = T + V_KB + <V_NA + V_H[rho - rho_atoms] + V_xc[rho + core]>

with rho = rho_atoms + spherical charge transfer of each species + multipoles that a network predicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.auxiliary import AuxiliaryBasis
from n2amd.baseline.ingredients import Ingredients
from n2amd.baseline.kinetic import kinetic_table
from n2amd.baseline.mesh import Mesh, siesta_mesh
from n2amd.baseline.mesh_integrals import potential_matrix
from n2amd.baseline.mesh_potential import hartree_potential, xc_potential
from n2amd.baseline.nonlocal_potential import NonlocalTables, interaction_ranges, nonlocal_matrix
from n2amd.baseline.superposition import superpose, superpose_multipoles
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

#: Electrons per A^3 below which a model density is cut: it may dip below zero in empty space.
SMALLEST_DENSITY = 1e-12
