"""A two-state path made to measure: given gap, dephasing time and coupling, to test a published lifetime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.dephasing import times
from n2amd.hopping.path import ClassicalPath
from n2amd.units import HBAR_EV_FS

#: Phonons that move gap and coupling, cm^-1, and how many of them.
PHONONS_PER_CM = (100.0, 800.0)
MODES = 300
#: 2 pi c in rad cm / fs: from wave numbers to angular frequencies.
_RAD_CM_PER_FS = 2 * np.pi * 2.99792458e-5


def random_phases(frames: int, timestep_fs: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return a Gaussian series of unit variance, (frames,): phonons of random frequency and phase."""
    time = timestep_fs * np.arange(frames)
    frequency = _RAD_CM_PER_FS * generator.uniform(*PHONONS_PER_CM, MODES)
    phase = generator.uniform(0, 2 * np.pi, MODES)
    series = np.cos(np.outer(time, frequency) + phase).sum(axis=1)
    series -= series.mean()
    return series / series.std()


def model_path(
    gap_eV: float,
    dephasing_fs: float,
    nac_rms_eV: float,
    *,
    frames: int,
    timestep_fs: float = 1.0,
    seed: int = 1,
) -> ClassicalPath:
    """Return an electron's path [VBM, CBM] with these numbers, to the digits of the fit.

    The gap fluctuates so that the Gaussian fit of its dephasing function gives `dephasing_fs`, by the
    definition of Hefei-NAMD that published times are by (for slow phonons sigma = hbar / tau); the coupling
    is an independent series of zero mean with the same phonons.

    Parameters
    ----------
    gap_eV, dephasing_fs, nac_rms_eV
        Mean gap, pure-dephasing time, rms of hbar d.
    frames, timestep_fs
        Length and time step of the trajectory.
    seed
        Of frequencies and phases.

    Raises
    ------
    InputError
        If the fluctuation that this dephasing needs would close the gap.
    """
    from scipy.optimize import brentq

    generator = np.random.default_rng(seed)
    shape = random_phases(frames, timestep_fs, generator)
    coupling = random_phases(frames - 1, timestep_fs, generator)
    nac = nac_rms_eV * coupling / np.sqrt(np.mean(coupling**2))
    guess = HBAR_EV_FS / dephasing_fs
    # the logarithm: the fit is a smooth, falling function of the fluctuation
    sigma = np.exp(
        brentq(
            lambda x: np.log(float(times(np.exp(x) * shape[None], timestep_fs, "hefei")[0]) / dephasing_fs),
            np.log(guess / 3),
            np.log(guess * 10),
            xtol=1e-6,
        )
    )
    gap = gap_eV + sigma * shape
    if gap.min() <= 0:
        raise InputError(
            f"a gap of {gap_eV:g} eV that dephases within {dephasing_fs:g} fs fluctuates by {sigma:.2f} eV",
            field="gap_eV",
            remedy="the model is for gaps well above their fluctuation",
        )
    matrices = np.zeros((frames - 1, 2, 2))
    matrices[:, 0, 1], matrices[:, 1, 0] = nac, -nac
    return ClassicalPath(
        energies=np.stack([np.zeros(frames), gap], axis=1),
        timestep_fs=timestep_fs,
        carrier="electron",
        band_index=np.array([0, 1]),
        start=1,
        final=0,
        nac=matrices,
    )
