"""Compile the loops of H0, density network and dynamics once, at installation, so that no job waits for them.

One bundled frame goes through fit, training inputs and prediction, a made-up coupling through both methods of
the default job; compiled code stays beside the sources.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy.linalg import expm

from n2amd.baseline.model_density import coefficients_by_element
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.density_data import choose_model, fit_frame, frame_of_density
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.predict import predict_density
from n2amd.network.presets import PRESETS
from n2amd.storage import create_hdf5

FRAME = Path(__file__).parents[1] / "resources" / "tio2-honpas" / "TiO2_6_train" / "frame_0000"


def main() -> None:
    """Send something small through everything that is compiled."""
    torch.set_num_threads(1)
    predict_a_frame()
    with TemporaryDirectory() as folder:
        hop(Path(folder))


def hop(folder: Path, frames: int = 200) -> None:
    """Run the dynamics of four fluctuating states."""
    phase = 0.3 * np.arange(frames)[:, None] + np.arange(4)
    energies = np.array([-1.1, -1.0, 1.0, 1.1]) + 0.03 * np.sin(phase)
    turn = np.triu(np.full((4, 4), 0.01), 1)
    with create_hdf5(folder / "couplings.h5", "couplings") as file:
        numbers = {"n_frames": frames, "n_occupied": 4, "vbm": 1, "cbm": 2}
        file.attrs.update(timestep_fs=1.0, overlap_kind="exact", **numbers)
        file["energies"], file["band_index"] = energies, np.arange(2, 6)
        file["overlap"] = np.tile(expm(turn - turn.T), (frames - 1, 1, 1))
        file["nac"] = np.tile(turn - turn.T, (frames - 1, 1, 1))
    # as many trajectories as in the default job: code is made for the shape of their blocks
    settings = '{"samples": 1, "trajectories": 200, "duration_fs": 100.0}'
    command = [sys.executable, "-m", "n2amd.cli", "dynamics", "run", "--settings", settings, "--seed", "1"]
    for method in ("dish", "fssh"):
        files = ["--couplings", str(folder / "couplings.h5"), "--out", str(folder / f"{method}.h5")]
        subprocess.run([*command, "--method", method, *files], check=True, stdout=subprocess.DEVNULL)


def predict_a_frame() -> None:
    """Send the bundled frame through H0, the density network and its derivatives."""
    frame, basis = read_frame(FRAME, "honpas")
    assert frame.ingredients is not None
    zeroth = ZerothHamiltonian(basis, frame.ingredients, choose_model([frame], basis, frame.ingredients))
    shape = PRESETS["quick"].density
    fitted = fit_frame(frame, zeroth, shape.message_cutoff_A)
    frame_of_density(frame.name, frame.structure, fitted.coefficients, 0.0, zeroth, shape.message_cutoff_A)
    architecture = DensityArchitecture(
        channels=shape.channels,
        layers=shape.layers,
        message_cutoff=shape.message_cutoff_A,
        neighbours=20.0,
        n_radial=shape.n_radial,
        radial_hidden=shape.radial_hidden,
        n_latent=shape.n_latent,
    )
    network = DensityNetwork(zeroth.model.auxiliary, architecture)
    network.fit_scales(
        coefficients_by_element(zeroth.model.auxiliary, [(frame.structure, fitted.coefficients)])
    )
    sample = fitted.sample
    (coefficients,) = network.coefficients(sample.graph, [sample.waves], [sample.excess])
    sample.density_error(coefficients).backward()
    zeroth.matrix(frame.structure, predict_density(network, frame.structure))


if __name__ == "__main__":
    main()
