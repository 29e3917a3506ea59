"""The model file: weights, basis, architecture and what is needed to predict."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from n2amd import provenance
from n2amd.baseline.ingredients import Ingredients
from n2amd.errors import InputError
from n2amd.network.model import Architecture, HamiltonianNetwork
from n2amd.orbitals.basis import Basis
from n2amd.storage import atomic_path

FORMAT = "n2amd/hamiltonian"
VERSION = "1.0"


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write a torch state atomically."""
    with atomic_path(path) as part:
        torch.save(state, part)


def load_state(path: str | Path) -> dict[str, Any]:
    """Read a torch state made of tensors and plain types (nothing in it can run code).

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("the file does not exist", file=path, remedy="train the network first")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"not a readable network file ({first})", file=path, remedy="delete it and train again"
        ) from error
    except Exception as error:  # torch raises pickle.UnpicklingError, which it does not export
        raise InputError(
            f"not a network file ({type(error).__name__})", file=path, remedy="pass a hamiltonian.pt of n2amd"
        ) from error


def save_model(
    path: str | Path,
    model: HamiltonianNetwork,
    *,
    training: dict[str, Any],
    config: Any,
    inputs: list[Path],
    ingredients: Ingredients | None = None,
) -> None:
    """Write a model file.

    Parameters
    ----------
    path
        Where to.
    model
        The network with the weights to keep.
    training
        What the evaluation needs to know of the training (split, gauge, history, seed).
    config, inputs
        Settings and files it was made from (hashed).
    ingredients
        What H0 needs of the DFT code, where the data set has it.
    """
    state = {
        "format": FORMAT,
        "format_version": VERSION,
        "created_by": provenance.created_by(),
        "config_sha256": provenance.sha256_of_config(config),
        "inputs_sha256": provenance.sha256_of_files(inputs),
        "cpu_seconds": provenance.cpu_seconds(),
        "basis": model.basis.to_json(),
        "architecture": model.architecture.to_dict(),
        "weights": model.state_dict(),
        "training": training,
        "complete": 1,
    }
    if ingredients is not None:
        state["ingredients"] = ingredients.to_json()
    save_state(path, state)


def ingredients_of(state: dict[str, Any]) -> Ingredients | None:
    """What H0 needs of the DFT code, from the state that `load_model` returns; None where it is not there."""
    return Ingredients.from_json(state["ingredients"]) if "ingredients" in state else None


def load_model(path: str | Path, device: str = "cpu") -> tuple[HamiltonianNetwork, dict[str, Any]]:
    """Read a model file; returns the network (evaluation mode) and the rest of the file.

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
    model = HamiltonianNetwork(Basis.from_json(state["basis"]), Architecture.from_dict(state["architecture"]))
    model.load_state_dict(state.pop("weights"))
    return model.to(device).eval(), state
