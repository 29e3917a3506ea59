"""The model file: networks, basis, ingredients of H0 and what else is needed to predict."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from n2amd import provenance
from n2amd.baseline.model_density import ModelDensity
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.doubt import DensityDoubt
from n2amd.network.model import Architecture, HamiltonianNetwork
from n2amd.orbitals.basis import Basis
from n2amd.seals import require_sound_archive, seal_archive
from n2amd.storage import atomic_path

log = logging.getLogger(__name__)

FORMAT = "n2amd/hamiltonian"
VERSION = "2.2"


#: What differs between two files of the same networks.
_ABOUT = ("created_by", "config_sha256", "inputs_sha256", "inputs", "cpu_seconds")


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write a torch state atomically, with a hash of it inside."""
    content = io.BytesIO()
    torch.save({key: value for key, value in state.items() if key not in _ABOUT}, content)
    with atomic_path(path) as part:
        torch.save(state, part)
        seal_archive(part, hashlib.sha256(content.getbuffer()).hexdigest())


def load_state(path: str | Path) -> dict[str, Any]:
    """Read a torch state made of tensors and plain types (nothing in it can run code).

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    path = Path(path)
    _require_archive(path)
    if not require_sound_archive(path, "delete it and train again"):
        log.warning("%s holds no hash of itself (an older version wrote it): damage may go unseen", path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch, pickle and zip raise, at length
        raise InputError(
            f"no network file ({type(error).__name__} in torch)",
            file=path,
            remedy="pass a hamiltonian.pt of n2amd",
        ) from error


def _require_archive(path: Path) -> None:
    """Refuse what is not even a zip archive, which all that torch writes is."""
    if not path.exists():
        raise InputError("the file does not exist", file=path, remedy="train the network first")
    try:
        with open(path, "rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, remedy="pass a hamiltonian.pt that you may read"
        ) from error
    if start == b"PK\x03\x04" and not zipfile.is_zipfile(path):
        raise InputError("its end is missing", file=path, remedy="delete it and train again")
    if not zipfile.is_zipfile(path):
        raise InputError(
            "no network file" if start.strip(b"\0") else "is empty, or nothing but zeros",
            file=path,
            remedy="pass a hamiltonian.pt of n2amd, or delete this one and train again",
        )


@dataclass(frozen=True)
class HamiltonianModel:
    """Everything that predicts the Hamiltonian of a material: H = H0[density] + pair network.

    Attributes
    ----------
    basis
        Orbital basis.
    zeroth
        H0 from atoms and a model density; None: the pair network has a two-centre reference instead.
    density
        Network of the density that H0 is made of; None: average atoms.
    pair
        Network of what H0 leaves, or of the whole H; None: nothing is left.
    doubt
        How well the density network knows its last layer; None: unknown (files before version 2.1).
    """

    basis: Basis
    zeroth: ZerothHamiltonian | None
    density: DensityNetwork | None
    pair: HamiltonianNetwork | None
    doubt: DensityDoubt | None = None

    @property
    def kind(self) -> str:
        """What H is made of, as the configuration names it."""
        if self.zeroth is None:
            return "pair"
        parts = ["atoms" if self.density is None else "density"]
        return "+".join(parts if self.pair is None else [*parts, "pair"])

    @property
    def n_parameters(self) -> int:
        """Weights of the networks."""
        networks = [network for network in (self.density, self.pair) if network is not None]
        return sum(p.numel() for network in networks for p in network.parameters())

    def to(self, device: str) -> HamiltonianModel:
        """Move the networks to a device and set them to evaluation mode."""
        for network in (self.density, self.pair):
            if network is not None:
                network.to(device).eval()
        return self


def save_model(
    path: str | Path, model: HamiltonianModel, *, training: dict[str, Any], config: Any, inputs: list[Path]
) -> None:
    """Write a model file.

    Parameters
    ----------
    path
        Where to.
    model
        The networks with the weights to keep.
    training
        What the evaluation needs to know of the training (split, cells, history, seed).
    config, inputs
        Settings and files it was made from (hashed).
    """
    zeroth, density, pair, doubt = model.zeroth, model.density, model.pair, model.doubt
    state = {
        "format": FORMAT,
        "format_version": VERSION,
        "created_by": provenance.created_by(),
        "config_sha256": provenance.sha256_of_config(config),
        "inputs_sha256": provenance.sha256_of_files(inputs),
        "inputs": provenance.list_of_files(inputs),
        "cpu_seconds": provenance.cpu_seconds(),
        "basis": model.basis.to_json(),
        "ingredients": zeroth and zeroth.ingredients.to_json(),
        "model_density": zeroth and zeroth.model.to_json(),
        "density": density
        and {
            "architecture": density.architecture.to_dict(),
            "weights": density.state_dict(),
            "doubt": doubt and doubt.to_dict(),
        },
        "pair": pair and {"architecture": pair.architecture.to_dict(), "weights": pair.state_dict()},
        "training": training,
        "complete": 1,
    }
    save_state(path, state)


def load_model(path: str | Path, device: str = "cpu") -> tuple[HamiltonianModel, dict[str, Any]]:
    """Read a model file; returns the model (evaluation mode) and what it tells of its training.

    Raises
    ------
    InputError
        If it is not a whole n2amd model of this major version.
    """
    state = load_state(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(
            "not an n2amd Hamiltonian network", file=path, remedy="pass a hamiltonian.pt of n2amd"
        )
    if str(state["format_version"]).split(".")[0] != VERSION.split(".")[0]:
        raise InputError(
            f"format version {state['format_version']} cannot be read (this program reads {VERSION})",
            file=path,
            remedy="train the network again with this version of n2amd",
        )
    basis = Basis.from_json(state["basis"])
    zeroth, density, pair, doubt = None, None, None, None
    if state["ingredients"]:
        ingredients = Ingredients.from_json(state["ingredients"])
        zeroth = ZerothHamiltonian(basis, ingredients, ModelDensity.from_json(state["model_density"]))
        if kept := state["density"]:
            density = DensityNetwork(
                zeroth.model.auxiliary, DensityArchitecture.from_dict(kept["architecture"])
            )
            density.load_state_dict(kept["weights"])
            doubt = DensityDoubt.from_dict(kept["doubt"]) if kept.get("doubt") else None
    if kept := state["pair"]:
        pair = HamiltonianNetwork(basis, Architecture.from_dict(kept["architecture"]))
        pair.load_state_dict(kept["weights"])
    return HamiltonianModel(basis, zeroth, density, pair, doubt).to(device), state["training"]
