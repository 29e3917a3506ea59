"""The figures of the page in the order of the stages: where they lie, what is seen, and what is good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: What a figure belongs to: a material and functional, a material and supercell, a case, or the job.
Scope = Literal["model", "supercell", "case", "job"]


@dataclass(frozen=True)
class Caption:
    """Words for one figure.

    Attributes
    ----------
    title
        What it is.
    text
        What is seen, and what would be good.
    scope
        What it belongs to, and so the folder it lies in.
    """

    title: str
    text: str
    scope: Scope


#: Stages of the page and the figures of each, by file name.
STAGES: Final[dict[str, dict[str, Caption]]] = {
    "Force field and trajectory": {
        "forcefield-energy": Caption(
            "Energies, force field against DFT",
            "Energies per atom on held-out frames, both about the mean of DFT. Good is a cloud on the "
            "diagonal, its error well below its spread: about 1 meV/atom or less.",
            "model",
        ),
        "forcefield-force": Caption(
            "Forces, force field against DFT",
            "Force components on held-out frames. Good is a narrow line without outliers, because one stray "
            "force can heat a trajectory; some tens of meV/Å are usual.",
            "model",
        ),
        "phonons": Caption(
            "Vibrations",
            "Left: density of states of the velocities along the trajectory, beside harmonic fits to the "
            "forces of DFT and of the force field. Right: these modes one by one. Gaps fluctuate with them: "
            "a band of modes that is shifted shifts the dephasing time. Without DFT forces only the "
            "trajectory is shown.",
            "supercell",
        ),
    },
    "Hamiltonian network": {
        "hamiltonian": Caption(
            "Hamiltonian, network against DFT",
            "Left: matrix elements on held-out frames, energy zeros aligned. Right: mean and largest error "
            "by distance of the atoms; on-site elements are at zero. Good is a mean of 1 meV or less that "
            "falls with distance, without a jump at the longest.",
            "model",
        ),
        "bands": Caption(
            "Bands, network over DFT",
            "Bands of a held-out frame: network blue and dashed, DFT's own Hamiltonian grey, zero at DFT's "
            "valence band maximum; with collinear spins each channel by itself. Good is that they cannot be "
            "told apart around the gap.",
            "model",
        ),
        "doubt": Caption(
            "Does the network know what it does not know?",
            "Errors of the band edges on frames that the network had not seen, against the spread that it "
            "predicted, and how often errors are within so many spreads.",
            "model",
        ),
    },
    "Couplings": {
        "nac-parity": Caption(
            "Couplings, network against DFT",
            "Left: couplings from both Hamiltonians on the same consecutive frames, coloured by the energy "
            "between the two states. Right: error and size by that energy. Good is an error far below the "
            "coupling, above all at the largest energies: there carriers recombine.",
            "model",
        ),
        "population-parity": Caption(
            "Surface hopping, network against DFT",
            "Populations from both Hamiltonians on these frames, with one dephasing time. Left: what has "
            "recombined, and the lifetimes. Right: a hot electron and a hot hole that leave the outermost "
            "states. Good is that lines lie on each other.",
            "model",
        ),
        "gap-and-coupling": Caption(
            "Gap and coupling along the trajectory",
            "Good is a gap that fluctuates about a constant mean: a drift means that the trajectory is not "
            "in equilibrium. A lone spike of the coupling usually means states that cross.",
            "case",
        ),
        "spectral-density": Caption(
            "Which vibrations drive gap and coupling",
            "Spectral densities with standard errors; the area under a line is the part of the variance "
            "that these vibrations carry, the strongest are named. Weight at zero is drift; weight beyond "
            "the highest phonon and its overtones is noise, or states that cross.",
            "case",
        ),
        "character": Caption(
            "Where the band edges live",
            "Left: mean share of orbitals. Middle: share of each element along the trajectory. Right: "
            "number of atoms a state lives on. A share that jumps means that another state has become the "
            "edge; few atoms mean a localised state, whose coupling does not scale with the cell.",
            "case",
        ),
    },
    "Dephasing and dynamics": {
        "dephasing": Caption(
            "Pure dephasing",
            "Left: autocorrelation of the gap. Right: the dephasing function, the Gaussian whose width is "
            "the dephasing time, and the time by four definitions. Good is a function that falls to zero "
            "within the figure and a Gaussian that follows it down to a third.",
            "case",
        ),
        "populations": Caption(
            "Surface hopping",
            "Left: what has recombined in each run, with its standard error and the exponential fit. Right: "
            "populations of the first run. Where only a few per cent have decayed, a fit is an "
            "extrapolation and the exact lifetime is the one to quote.",
            "case",
        ),
        "defect": Caption(
            "Recombination through the defect",
            "Left: what has recombined through the level of the defect, with the level left out, and in the "
            "pristine cell, by the rates of DISH's renewal process. Right: levels from the VBM of each cell "
            "with their fluctuation, filled ones solid. A level near one band edge captures that carrier at "
            "once and recombines hardly faster than the bands do.",
            "case",
        ),
        "lifetime-tau": Caption(
            "Lifetime against dephasing time",
            "The exact lifetime with its interval at each dephasing time; the gold band is the time found ± "
            "1 fs. The ripple belongs to the method, with period h/gap. The diamond is the perturbative "
            "estimate, which should lie within a factor of about two.",
            "case",
        ),
    },
}
#: Of the comparison.
SCALING: Final = Caption(
    "Finite-size scaling",
    "Coupling and lifetime of the band edges against the number of atoms, with power laws where there are "
    "three sizes. Good is a straight line in both. Delocalised edges couple ever more weakly as the cell "
    "grows, so the lifetime of a small cell is a lower bound.",
    "job",
)
