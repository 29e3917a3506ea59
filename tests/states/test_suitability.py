"""Data that a later stage would refuse are refused before anything is trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from n2amd.commands.config import app as config_app
from n2amd.commands.dataset import app as dataset_app
from n2amd.config.forcefield import ForceFieldSettings
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.states import StatesSettings
from n2amd.dataset.electrons import Census, with_valence_charges
from n2amd.dataset.store import read_basis, read_frames
from n2amd.errors import InputError
from n2amd.ingestion.ingest import ingest
from n2amd.ingestion.offer import Offer, offer_of_dataset, offer_of_frames
from n2amd.interop.deeph import write_deeph
from n2amd.interop.structures import read_structure
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.preflight.suitability import Demands, check_suits
from n2amd.structure import Structure

ROOT = Path(__file__).resolve().parents[2]
TIO2 = ROOT / "resources" / "tio2-honpas"
RUTILE = TIO2 / "rutile.vasp"
RADIAL = RadialFunction(0.5, np.array([1.0, 0.5, 0.0]), 1.0)


def basis(*, charges: tuple[float, float] = (6.0, 12.0), radial: bool = True) -> Basis:
    shells = tuple(Shell(l, f"{l}", RADIAL if radial else None) for l in (0, 1, 2))
    return Basis({z: AtomBasis(z, shells, charge) for z, charge in zip((8, 22), charges)})


def census(
    elements: tuple[int, ...] = (8, 22), counts: tuple[int, ...] = (4, 2), electrons: float = 48.0
) -> Census:
    return Census(["a"], elements, np.array([counts]), np.array([electrons]))


OFFER = Offer(10, census(), basis(), 1, {})


@pytest.fixture
def demands() -> Demands:
    return Demands(
        read_structure(RUTILE),
        ["1x1x1", "2x2x2"],
        StatesSettings(),
        HamiltonianSettings(),
        ForceFieldSettings(),
        fits_overlap=False,
        path=["G", "X"],
    )


def test_data_that_suit(demands: Demands) -> None:
    check_suits(OFFER, demands)
    deeph = replace(OFFER, basis=basis(charges=(0.0, 0.0), radial=False), without={"forces": "a"})
    check_suits(deeph, replace(demands, forcefield=None, fits_overlap=True))


def test_pseudopotentials_must_know_spin_orbit_coupling(demands: Demands) -> None:
    asked = replace(demands, states=StatesSettings(spin_orbit="spinors"))
    check_suits(replace(OFFER, spin_orbit=True), asked)
    with pytest.raises(InputError, match=r"states.spin_orbit.*no pseudopotential tells j = l \+ 1/2 from"):
        check_suits(replace(OFFER, spin_orbit=False), asked)


@pytest.mark.parametrize(
    ("offer", "field", "message"),
    [
        (
            {"census": census((8,), (4,), 24.0)},
            "structure",
            "holds Ti, of which no DFT frame has an atom .*have O",
        ),
        ({"n_spin": 2}, "states.spin", "2 spin components, and no spin channel is chosen"),
        ({"n_spin": 4}, "hamiltonian", "4 spin components"),
        ({"basis": basis(radial=False)}, "fit_overlap", "give no radial functions"),
        ({"n_frames": 2}, r"hamiltonian.validation_fraction", "2 frames cannot give"),
        ({"without": {"forces": "frame_3"}}, "forces", "has no forces, which the force field"),
        ({"basis": basis(charges=(6.0, 11.5))}, "n_electrons", "supercell 1x1x1: 47 valence electrons"),
        ({"basis": basis(charges=(18.0, 12.0))}, "states.conduction", "supercell 1x1x1: .*but the cell has"),
    ],
)
def test_data_that_do_not(demands: Demands, offer: dict, field: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_suits(replace(OFFER, **offer), demands)
    assert caught.value.field == field
    assert caught.value.remedy


def charged(excess: float, moment: float | None, numbers: tuple[int, ...] = (8, 8, 8, 22, 22)) -> dict:
    return {"electrons": (("a", np.array(numbers), excess, moment),)}


def test_channels_of_charged_cells(demands: Demands) -> None:
    one_oxygen_less = Structure(np.eye(3) * 5, np.arange(15.0).reshape(5, 3), np.array([8, 8, 8, 22, 22]))
    channel = replace(demands, structure=one_oxygen_less, supercells=["1x1x1"], path=(), forcefield=None)
    spin_up = replace(channel, states=StatesSettings(spin="up"))
    check_suits(replace(OFFER, n_spin=2, **charged(-1.0, 1.0)), spin_up)
    # 41 electrons in a closed shell, 20.5 in a channel
    with pytest.raises(InputError, match="41 valence electrons do not fill whole bands"):
        check_suits(replace(OFFER, **charged(-1.0, None)), channel)
    with pytest.raises(InputError, match=r"20.5 electrons of spin up do not fill whole bands"):
        check_suits(replace(OFFER, n_spin=2, **charged(-1.0, 0.0)), spin_up)
    with pytest.raises(InputError, match=r"the charge of O6 Ti4 is unknown"):
        check_suits(
            replace(OFFER, n_spin=2, **charged(-1.0, 1.0)), replace(spin_up, supercells=["1x1x1", "1x1x2"])
        )
    pairs = replace(spin_up, hamiltonian=HamiltonianSettings(model="pair"))
    with pytest.raises(InputError, match="collinear spins need a learned density, and the model is pair"):
        check_suits(replace(OFFER, n_spin=2, **charged(-1.0, 1.0)), pairs)


def test_jobs_that_do_not_suit_the_data(demands: Demands) -> None:
    with pytest.raises(InputError, match="overlaps need no fit"):
        check_suits(OFFER, replace(demands, fits_overlap=True))
    with pytest.raises(InputError, match="no special point 'Q'"):
        check_suits(OFFER, replace(demands, path=["G", "Q"]))
    wide = StatesSettings(valence=20, margin=10)
    with pytest.raises(InputError, match=r"supercell 1x1x1: 20 valence states .* 24 occupied"):
        check_suits(OFFER, replace(demands, states=wide))
    one = Structure(np.eye(3) * 3, np.zeros((1, 3)), np.array([8]))
    with pytest.raises(InputError, match="supercell 1x1x1 has one atom"):
        check_suits(OFFER, replace(demands, structure=one, path=()))


def test_electrons_of_the_elements_follow_from_the_frames() -> None:
    bare = basis(charges=(0.0, 0.0))
    several = Census(["a", "b"], (8, 22), np.array([[4, 2], [1, 1]]), np.array([48.0, 18.0]))
    found = with_valence_charges(bare, several)
    assert [found[z].valence_charge for z in (8, 22)] == [6.0, 12.0]
    # one composition does not part them, and supercells are right all the same
    found = with_valence_charges(bare, census())
    assert found.valence_electrons(np.array([22, 22, 8, 8, 8, 8] * 8)) == pytest.approx(384)
    assert with_valence_charges(basis(), census(electrons=7.0)) == basis()
    wrong = Census(["a", "b"], (8, 22), np.array([[4, 2], [8, 4]]), np.array([48.0, 94.0]))
    with pytest.raises(InputError, match=r"frame [ab].*electrons are not the sum over atoms"):
        with_valence_charges(bare, wrong)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "dataset.h5"
    ingest([TIO2 / "TiO2_6_train" / f"frame_{k:04d}" for k in range(4)], path, code="honpas")
    return path


@pytest.fixture(scope="module")
def deeph(dataset: Path) -> Path:
    folder = dataset.parent / "deeph"
    write_deeph(folder, read_frames(dataset), read_basis(dataset))
    return folder


def test_frames_and_the_data_set_made_of_them_say_the_same(dataset: Path, demands: Demands) -> None:
    stored = offer_of_dataset(dataset)
    frames = [TIO2 / "TiO2_6_train" / f"frame_{k:04d}" for k in range(4)]
    looked_at = offer_of_frames(frames, "honpas", None, (8, 22))
    for offer in (stored, looked_at):
        assert (offer.n_frames, offer.n_spin, offer.without) == (4, 1, {})
        assert offer.basis.has_radial_functions
        check_suits(offer, demands)
    assert len(looked_at.census.names) == 1
    assert stored.census.counts.tolist() == [[4, 2]] * 4
    # an element that is not there is looked for in every frame
    assert len(offer_of_frames(frames, "honpas", None, (8, 22, 79)).census.names) == 4


def test_folders_of_deeph_have_neither_forces_nor_radial_functions(deeph: Path) -> None:
    offer = offer_of_frames([deeph], "deeph", None, (8, 22))
    assert not offer.basis.has_radial_functions
    assert set(offer.without) == {"energy", "forces"}
    assert offer.census.electrons == pytest.approx(48.0)


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> str:
    """Run `n2amd config check` on the test job with a changed functional; return what it says."""
    monkeypatch.chdir(ROOT)
    job = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    source = job["materials"]["TiO2"]["functionals"]["pbe"]
    source.pop("trajectory_paths")
    for key, value in changes.items():
        if key in source or key in ("code", "without_bands", "fit_overlap", "trajectory_paths"):
            source[key] = value
        else:
            job[key] = {**job.get(key, {}), **value}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = CliRunner().invoke(config_app, ["check", str(tmp_path / "job.yaml")])
    return done.output if done.exception is None else str(done.exception)


class TestConfigCheck:
    def test_names_material_and_functional(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = check(tmp_path, monkeypatch, states={"valence": 30})
        assert said.startswith("materials.TiO2.functionals.pbe: field 'states.valence': supercell 1x1x1: 30")
        assert "ok" in check(tmp_path, monkeypatch)

    def test_siesta_without_ion_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import shutil

        for k in range(3):
            shutil.copytree(TIO2 / "TiO2_6_train" / f"frame_{k:04d}", tmp_path / f"frames/frame_{k:04d}")
        shutil.copy(TIO2 / "TiO2_6_train/TiO2.ORB_INDX.xz", tmp_path / "frames")
        said = check(tmp_path, monkeypatch, paths=[str(tmp_path / "frames")])
        assert "field 'fit_overlap': the DFT files give no radial functions" in said
        assert "ok" in check(tmp_path, monkeypatch, paths=[str(tmp_path / "frames")], fit_overlap=True)

    def test_one_consecutive_frame(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = check(tmp_path, monkeypatch, trajectory_paths=[str(TIO2 / "TiO2_6_md/frame_0000")])
        assert "field 'trajectory_paths': one frame holds no interval" in said

    def test_another_material(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = check(tmp_path, monkeypatch, paths=["tests/data/honpas-si2/frame_0000"])
        assert "the structure holds O, Ti, of which no DFT frame has an atom (they have Si)" in said


def test_command_marks_a_data_set(dataset: Path, tmp_path: Path) -> None:
    command = [
        "suits",
        str(dataset),
        "--structure",
        str(RUTILE),
        "--out",
        str(tmp_path / "suits.json"),
    ]
    done = CliRunner().invoke(
        dataset_app, [*command, "--supercells", "1x1x1,2x2x1", "--forcefield-settings", "{}"]
    )
    assert done.exception is None
    assert json.loads((tmp_path / "suits.json").read_text())["suits"] is True
    done = CliRunner().invoke(dataset_app, [*command, "--fits-overlap"])
    assert isinstance(done.exception, InputError)


@pytest.mark.parametrize(
    ("states", "field", "message"),
    [
        (
            StatesSettings(spin="up"),
            "states.spin",
            "spin up is asked for, the Hamiltonian has 1 spin component",
        ),
        (
            StatesSettings(defect={"atoms": [3, 6]}),
            "states.defect.atoms",
            "there is no atom 6, the supercell 1x1x1 has 6",
        ),
    ],
)
def test_a_channel_or_atoms_that_are_not_there(
    demands: Demands, states: StatesSettings, field: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        check_suits(OFFER, replace(demands, states=states))
    assert refused.value.field == field
