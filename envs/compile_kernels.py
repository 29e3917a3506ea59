"""Compile the loops of H0 and of the density network once, at installation, so that no job waits for them.

One bundled frame goes through fit, training inputs and prediction; compiled code stays beside the sources.
"""

from __future__ import annotations

from pathlib import Path

import torch

from n2amd.baseline.model_density import coefficients_by_element
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.density_data import choose_model, fit_frame, frame_of_density
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.predict import predict_density
from n2amd.network.presets import PRESETS

FRAME = Path(__file__).parents[1] / "resources" / "tio2-honpas" / "TiO2_6_train" / "frame_0000"


def main() -> None:
    """Send one frame through everything that is compiled."""
    torch.set_num_threads(1)
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
    zeroth.matrix(frame.structure, predict_density(network, frame.structure))


if __name__ == "__main__":
    main()
