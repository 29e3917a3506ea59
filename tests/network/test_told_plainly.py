"""Bad input of a model with H0, from the command line: one sentence with file, field, value and remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edited import edited
from n2amd.baseline.model_density import coefficients_by_element
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.commands.hamiltonian import app as hamiltonian
from n2amd.commands.states import app as states
from n2amd.dataset.store import read_frames
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.ingestion.ingest import ingest
from n2amd.network.checkpoint import HamiltonianModel, save_model
from n2amd.network.density_data import choose_model, fit_frame, with_means
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.stored_densities import store, write_densities
from n2amd.storage import create_hdf5

TIO2 = Path(__file__).resolve().parents[2] / "resources/tio2-honpas"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Folder with a data set, a file of densities and an untrained model of rutile."""
    folder = tmp_path_factory.mktemp("whole")
    ingest([TIO2 / "TiO2_6_train" / f"frame_{k:04d}" for k in range(3)], folder / "dataset.h5", code="honpas")
    frame, basis = read_frame(TIO2 / "TiO2_6_train/frame_0004")
    ingredients = next(iter(read_frames(folder / "dataset.h5"))).ingredients
    model = choose_model([frame], basis, ingredients)
    fitted = fit_frame(frame, ZerothHamiltonian(basis, ingredients, model), 4.0)
    stored = store([fitted], model.auxiliary)
    write_densities(folder / "densities.h5", stored, model.auxiliary, basis, ingredients)
    zeroth = ZerothHamiltonian(basis, ingredients, with_means(model, [fitted]))
    torch.manual_seed(0)
    network = DensityNetwork(
        model.auxiliary, DensityArchitecture((4, 3, 2, 1, 1), 1, 4.0, 20.0, n_radial=4, radial_hidden=8)
    )
    network.fit_scales(coefficients_by_element(model.auxiliary, [(fitted.structure, fitted.coefficients)]))
    for name, density in (("density", network), ("atoms", None)):
        made = HamiltonianModel(basis, zeroth, density, None)
        save_model(folder / f"{name}.pt", made, training={}, config={}, inputs=[])
    with torch.no_grad():
        next(p for p in network.parameters() if p.numel()).fill_(float("nan"))
    damaged = HamiltonianModel(basis, zeroth, network, None)
    save_model(folder / "damaged.pt", damaged, training={}, config={}, inputs=[])
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    for file in whole.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, tmp_path)
    return tmp_path


def told(app, *arguments: object) -> str:
    """What the command says of its input; it must end by that."""
    error = CliRunner().invoke(app, [str(a) for a in arguments]).exception
    assert isinstance(error, InputError), error
    assert error.exit_code == 2
    sentence = str(error)
    assert "\n" not in sentence
    assert error.remedy
    assert error.field or error.file
    return sentence


def train(folder: Path, model: str = "density", *more: object) -> str:
    settings = json.dumps({"preset": "test", "model": model})
    out = ("--out", folder / "hamiltonian.pt", "--workdir", folder / "work")
    return told(hamiltonian, "train", "--dataset", folder / "dataset.h5", *out, "--settings", settings, *more)


def change(path: Path, how: Callable[[h5py.File], None]) -> None:
    with edited(path) as file:
        how(file)


def new_ingredients(**changes: object) -> Callable[[h5py.File], None]:
    def how(file: h5py.File) -> None:
        document = json.loads(file["ingredients"].asstr()[()])
        assert set(changes) <= set(document)
        del file["ingredients"]
        file["ingredients"] = json.dumps({**document, **changes})

    return how


def test_no_ingredients(folder):
    def without(file):
        del file["ingredients"]
        file.attrs["h0"] = "no ingredients of H0 (there is no .ion.xml file)"

    change(folder / "dataset.h5", without)
    said = train(folder)
    assert f"{folder / 'dataset.h5'}, field 'hamiltonian.model': H0 has no ingredients here" in said
    assert "no .ion.xml file" in said
    assert "ingest the frames again" in said
    said = told(hamiltonian, "densities", "--dataset", folder / "dataset.h5", "--out", folder / "d.h5")
    assert f"{folder / 'dataset.h5'}, field 'ingredients'" in said


def test_functional_that_h0_lacks(folder):
    def hybrid(file):
        file.attrs["h0"] = "that of PBE: the exact exchange of HSE06 is not part of it"

    change(folder / "dataset.h5", hybrid)
    said = train(folder)
    assert f"{folder / 'dataset.h5'}, field 'hamiltonian.model': a density alone does not give" in said
    assert "exact exchange of HSE06" in said
    assert "atoms+pair" in said
    change(folder / "dataset.h5", new_ingredients(functional="SCAN"))
    said = train(folder, "atoms+pair")
    assert f"{folder / 'dataset.h5'}, field 'functional': H0 does not know the functional 'SCAN'" in said


@pytest.mark.parametrize("more", [[], ["--densities"]])
def test_mesh_that_is_too_coarse(folder, more):
    change(folder / "dataset.h5", new_ingredients(mesh_cutoff_Ry=20.0))
    said = train(folder) if not more else train(folder, "density", "--densities", coarse_densities(folder))
    assert f"{folder / 'dataset.h5'}, field 'mesh_cutoff': the mesh of 20 Ry (16 x 1" in said
    assert "electrons of the 3.043 in the partial core of Z = 22" in said
    assert "higher mesh cutoff" in said


def coarse_densities(folder: Path) -> Path:
    """The file of densities as if it were of the changed ingredients."""
    from n2amd.dataset.store import read_ingredients
    from n2amd.provenance import sha256_of_config

    found = sha256_of_config(read_ingredients(folder / "dataset.h5").to_json())
    change(folder / "densities.h5", lambda file: file.attrs.update(ingredients_sha256=found))
    return folder / "densities.h5"


def test_density_that_does_not_integrate(folder):
    """Orbitals of another width, normalised as they are, make other electrons of the same matrices."""

    def stretched(file):
        # S of another basis: what its states hold on the mesh is not what they hold in S
        for blocks in file["blocks"].values():
            blocks["overlap"][...] = 1.2 * blocks["overlap"][...]

    change(folder / "dataset.h5", stretched)
    said = train(folder)
    assert said.startswith(f"{folder / 'dataset.h5'}, frame ")
    assert "field 'density': the density on the mesh (40, 40, 30) holds 4" in said
    assert "of 48 electrons" in said
    assert "check that the radial functions and the mesh cutoff" in said


@pytest.mark.parametrize("model", ["density", "atoms"])
def test_unknown_element(folder, model):
    write_trajectory(folder / "gold.h5", [79, 22, 8, 8, 8, 8])
    said = told(
        states,
        *("solve", "--trajectory", folder / "gold.h5", "--model", folder / f"{model}.pt"),
        *("--out", folder / "shard.h5"),
    )
    assert said.startswith(f"{folder / 'gold.h5'}, ")
    assert "field 'numbers': the model knows the elements [8, 22], not atomic number 79" in said


def test_model_density_that_is_not_neutral(folder):
    write_trajectory(folder / "t.h5", [22, 22, 8, 8, 8, 8])
    said = told(
        states,
        *("solve", "--trajectory", folder / "t.h5", "--model", folder / "damaged.pt"),
        *("--out", folder / "shard.h5"),
    )
    assert (
        "field 'coefficients': the model density holds nan electrons beyond the neutral atoms, not 0" in said
    )


def write_trajectory(path: Path, numbers: list[int]) -> None:
    structure = read_frame(TIO2 / "TiO2_6_train/frame_0004")[0].structure
    with create_hdf5(path, "trajectory") as file:
        file.attrs["timestep_fs"] = 1.0
        file["cell"], file["numbers"], file["pbc"] = structure.cell, np.array(numbers), [True] * 3
        file["positions"] = np.array([structure.positions, structure.positions])


class TestDensityFile:
    def said(self, folder: Path) -> str:
        return train(folder, "density", "--densities", folder / "densities.h5")

    def test_whose_density_does_not_hold_its_electrons(self, folder):
        def more(file):
            file["excess"][0] = -1.0

        change(folder / "densities.h5", more)
        said = self.said(folder)
        assert f"{folder / 'densities.h5'}, frame TiO2_6_train/frame_0004, field 'coefficients'" in said
        assert "electrons beyond the neutral atoms, not -1" in said

    def test_that_was_cut_off(self, folder):
        content = (folder / "densities.h5").read_bytes()
        (folder / "densities.h5").write_bytes(content[: len(content) // 2])
        assert str(folder / "densities.h5") in self.said(folder)

    def test_that_lacks_a_field(self, folder):
        change(folder / "densities.h5", lambda file: file.__delitem__("coefficients"))
        assert f"{folder / 'densities.h5'}, field 'coefficients': the file does not have it" in self.said(
            folder
        )

    def test_that_has_other_atoms(self, folder):
        def swapped(file):
            file["numbers"][...] = [8, 22, 8, 8, 8, 8]

        change(folder / "densities.h5", swapped)
        said = self.said(folder)
        assert str(folder / "densities.h5") in said
        assert "field 'coefficients'" in said

    def test_that_is_something_else(self, folder):
        (folder / "densities.h5").write_text("none")
        assert str(folder / "densities.h5") in self.said(folder)
