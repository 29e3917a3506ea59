"""From a geometry to the states of its window: predict, fold, solve, project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from n2amd.blocks.csr import fold_csr
from n2amd.blocks.matrix import BlockMatrix, fold, fold_spinor, spin_channel
from n2amd.config.states import CHANNELS, Channel, Component, StatesSettings
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.states.choice import choose_method
from n2amd.states.projection import Sites, first_orbitals, site_weights, sites_of
from n2amd.states.solver import WindowStates, solve_window
from n2amd.states.window import StateWindow, spin_factor, state_window
from n2amd.structure import Structure

if TYPE_CHECKING:
    from n2amd.states.large_window import HeldFactor

FoldedPair = tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]

#: Frames, counted from the start of the trajectory, whose states are also counted at the window's ends.
COUNTED_EVERY = 50


class Predictor(Protocol):
    """Anything that gives H and S of a geometry, e.g. a trained Hamiltonian network."""

    @property
    def basis(self) -> Basis:
        """Basis of every element it knows."""

    def predict(self, structure: Structure) -> tuple[BlockMatrix, BlockMatrix]:
        """Return (H, S), the Hermitian half, of a geometry."""


@runtime_checkable
class CountingPredictor(Predictor, Protocol):
    """One that knows how many electrons there are: of charged cells, and of each spin channel."""

    def electrons_in(self, structure: Structure, spin: Channel | None) -> float:
        """Return the electrons of a geometry: of its cell, or of a spin channel."""


def window_electrons(predictor: Predictor, structure: Structure, spin: Channel | None) -> float:
    """Electrons of a geometry: of its cell (neutral unless the predictor counts them), or of a spin channel.

    Raises
    ------
    InputError
        If the predictor knows no channels.
    """
    if isinstance(predictor, CountingPredictor):
        return predictor.electrons_in(structure, spin)
    if spin is not None:
        raise InputError(
            f"spin {spin} of a model that knows no spin",
            field="states.spin",
            remedy="leave it out, or use a model of spin-polarised runs",
        )
    return predictor.basis.valence_electrons(structure.numbers)


def channel_of(hamiltonian: BlockMatrix, component: Component | None, frame: int | str) -> BlockMatrix:
    """Return the H of one spin channel, of spinors, or of a closed shell where neither is named.

    Raises
    ------
    InputError
        If H is not of that kind.
    """
    if hamiltonian.n_spin != {None: 1, "spinors": 4}.get(component, len(CHANNELS)):
        plural = "" if hamiltonian.n_spin == 1 else "s"
        if component == "spinors" or (component is None and hamiltonian.n_spin == 4):
            asked = "no spinors are asked for" if component is None else "spinors are asked for"
            raise InputError(
                f"the Hamiltonian has {hamiltonian.n_spin} spin component{plural}, and {asked}",
                frame=frame,
                field="states.spin_orbit",
                remedy="set it to spinors for runs with spin-orbit coupling (4 components) alone",
            )
        wanted = "no spin channel is chosen" if component is None else f"spin {component} is asked for"
        raise InputError(
            f"the Hamiltonian has {hamiltonian.n_spin} spin component{plural}, and {wanted}",
            frame=frame,
            field="states.spin",
            remedy="choose up or down of a collinear Hamiltonian (2 components); leave it out "
            "of a closed shell",
        )
    return spin_channel(hamiltonian, CHANNELS.index(component)) if component in CHANNELS else hamiltonian


@dataclass(frozen=True)
class FrameSolver:
    """The steps from a geometry to the states of its window.

    Attributes
    ----------
    predictor
        Gives H and S.
    settings
        K point and tolerance.
    window, offsets
        States solved; first orbital of each atom and the total.
    sites
        What the states' weights are given of, None where none are asked for.
    method
        "dense" or "block_si".
    shift
        Where the gap is expected, eV; for block_si.
    """

    predictor: Predictor
    settings: StatesSettings
    window: StateWindow
    offsets: NDArray[np.int64]
    sites: Sites | None = None
    method: str = "dense"
    shift: float | None = None

    @classmethod
    def for_structure(
        cls, predictor: Predictor, settings: StatesSettings, structure: Structure
    ) -> FrameSolver:
        """Choose the window for the cell of `structure`.

        Raises
        ------
        InputError
            If the model does not know an element or the spin channel, the electrons do not fill whole bands,
            or the window exceeds the spectrum.
        """
        basis = predictor.basis
        if unknown := sorted({int(z) for z in structure.numbers if int(z) not in basis}):
            raise InputError(
                f"the model knows the elements {list(basis.numbers)}, not atomic number {unknown[0]}",
                field="numbers",
                remedy="use the model of this material",
            )
        offsets = basis.orbital_offsets(structure.numbers)
        electrons = window_electrons(predictor, structure, settings.spin)
        window = state_window(electrons, int(offsets[-1]), settings)
        level = settings.weights_of
        sites = None if level == "none" else sites_of(structure, basis, level)
        method = choose_method(settings, int(offsets[-1]))
        return cls(predictor, settings, window, offsets, sites, method)

    @property
    def kpoint(self) -> NDArray[np.float64]:
        """Fractional k point, (3,)."""
        return np.asarray(self.settings.kpoint)

    @property
    def n_functions(self) -> int:
        """Size of the matrices: orbitals of the cell, of spinors each with spin up and down."""
        return spin_factor(self.settings) * int(self.offsets[-1])

    @property
    def needs_shift(self) -> bool:
        """Whether `placed` is to be called first: else each frame searches for its gap."""
        return self.method == "block_si" and self.shift is None

    def placed(self, first: Structure, guess: float | None = None) -> FrameSolver:
        """Return a solver that expects the gap around that of `first`, a frame of the trajectory.

        Parameters
        ----------
        first
            The frame.
        guess
            Where its gap may be, eV: it saves factorisations and changes nothing else but rounding.
        """
        frame = "the first one of the trajectory"
        hamiltonian, overlap = self.predictor.predict(first)
        hamiltonian = channel_of(hamiltonian, self.settings.component, frame)
        states, _ = replace(self, shift=guess)._solve(hamiltonian, overlap, frame, count_ends=False)
        edge = self.window.n_occupied - self.window.low
        return replace(self, shift=float(states.energies[edge - 1 : edge + 1].mean()))

    def folded(self, matrix: BlockMatrix) -> NDArray | scipy.sparse.csr_array:
        """Fold at the k point, dense or sparse as this cell is solved, (n, n); of spinors (2 n, 2 n)."""
        if self.settings.component == "spinors":
            return fold_spinor(matrix, self.offsets, self.kpoint[None])[0]
        if self.method == "dense":
            return fold(matrix, self.offsets, self.kpoint)
        return fold_csr([matrix], self.offsets, self.kpoint)[0]

    def solve(self, structure: Structure, frame: int | str) -> WindowStates:
        """Return the states of one geometry."""
        return self.solve_matrices(*self.predictor.predict(structure), frame)

    def solve_matrices(
        self, hamiltonian: BlockMatrix, overlap: BlockMatrix, frame: int | str
    ) -> WindowStates:
        """Return the states of one (H, S).

        Raises
        ------
        InputError
            If H has not the spin channel or spinors of the settings, or several where they name none.
        """
        hamiltonian = channel_of(hamiltonian, self.settings.component, frame)
        counted = not isinstance(frame, int) or frame % COUNTED_EVERY == 0
        states, folded_overlap = self._solve(hamiltonian, overlap, frame, count_ends=counted)
        return self.weighed(states, folded_overlap)

    def _solve(
        self, hamiltonian: BlockMatrix, overlap: BlockMatrix, frame: int | str, *, count_ends: bool
    ) -> tuple[WindowStates, NDArray | scipy.sparse.csr_array]:
        """States of the window, and S at the k point."""
        tolerance = self.settings.residual_tolerance_eV
        if self.method == "dense":
            h, s = self.folded(hamiltonian), self.folded(overlap)
            return solve_window(h, s, self.window, residual_tolerance=tolerance, frame=frame), s
        h, s = fold_csr([hamiltonian, overlap], self.offsets, self.kpoint)
        return self.solve_folded((h, s), frame, count_ends=count_ends)[0], s

    def folded_pair(self, structure: Structure, frame: int | str) -> FoldedPair:
        """H and S of one geometry, sparse, at the k point."""
        hamiltonian, overlap = self.predictor.predict(structure)
        hamiltonian = channel_of(hamiltonian, self.settings.component, frame)
        h, s = fold_csr([hamiltonian, overlap], self.offsets, self.kpoint)
        return h, s

    def solve_folded(
        self, folded: FoldedPair, frame: int | str, *, count_ends: bool, keep: bool = False
    ) -> tuple[WindowStates, HeldFactor | None]:
        """States of one (H, S) by block shift-invert Lanczos, and its factor where that is to be kept."""
        # torch is loaded only where it is needed
        from n2amd.states.large_window import solve_large_window

        return solve_large_window(
            *folded,
            self.window,
            self.shift,
            self.settings,
            offsets=self.offsets,
            frame=frame,
            count_ends=count_ends,
            keep=keep,
        )

    def solve_folded_near(
        self, folded: FoldedPair, frame: int | str, held: HeldFactor
    ) -> WindowStates | None:
        """States of one (H, S) by the factor of a similar frame; None where it needs one of its own."""
        from n2amd.states.large_window import solve_near

        return solve_near(*folded, self.window, held, self.settings, offsets=self.offsets, frame=frame)

    def weighed(self, states: WindowStates, folded_overlap: NDArray | scipy.sparse.csr_array) -> WindowStates:
        """Add the weights on sites where they are asked for."""
        if self.sites is None:
            return states
        n, spins = int(self.offsets[-1]), spin_factor(self.settings)
        starts = first_orbitals(self.sites, self.predictor.basis)
        starts = np.concatenate([starts + n * spin for spin in range(spins)])
        partition = self.settings.partition
        if partition == "loewdin" and not isinstance(folded_overlap, np.ndarray):
            folded_overlap = folded_overlap.toarray()  # it is diagonalised
        weights = site_weights(
            states.coefficients,
            states.overlap_coefficients,
            folded_overlap,
            starts,
            partition,
        )
        return replace(states, weights=weights.reshape(len(weights), spins, -1).sum(axis=1))
