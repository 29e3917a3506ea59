"""Frames that n2amd computes itself from what a data set knows of its DFT code."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edited import edited
from n2amd.commands.dft import app
from n2amd.dataset.merge import merge
from n2amd.dataset.store import (
    create_dataset,
    read_attributes,
    read_basis,
    read_frames,
    read_ingredients,
)
from n2amd.dft.engines.kmesh import half_mesh
from n2amd.errors import InputError
from n2amd.ingestion import scf_frames
from n2amd.ingestion.ingest import ingest
from n2amd.ingestion.scf_frames import ScfCampaign, compute_frames, reference_spacing
from n2amd.interop.extxyz import write_structures

SILICON = Path(__file__).parents[1] / "data" / "honpas-si2"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "dataset.h5"
    ingest([SILICON], out, code="honpas")
    return out


@pytest.fixture(scope="module")
def structures(reference):
    structure = next(iter(read_frames(reference))).structure
    shifts = np.random.default_rng(5).normal(scale=0.05, size=(2, 2, 3))
    return [structure, *(structure.with_positions(structure.positions + s) for s in shifts)]


def test_the_frame_of_the_code_comes_out_again(reference, structures, tmp_path):
    campaign = ScfCampaign(reference, reference_spacing(reference), 1e-4)
    out = tmp_path / "again.h5"
    assert compute_frames(campaign, structures[:1], out) == 0
    (ours,), theirs = list(read_frames(out)), next(iter(read_frames(reference)))
    n = theirs.n_occupied + 2
    for k, energies in zip(ours.bands.kpoints, ours.bands.energies):
        # SIESTA keeps both of k and -k where a component is 1/2
        apart = [(theirs.bands.kpoints - sign * k + 0.5) % 1 - 0.5 for sign in (1, -1)]
        same = np.abs(apart).max(axis=2).min(axis=0).argmin()
        np.testing.assert_allclose(energies[0, :n], theirs.bands.energies[same, 0, :n], atol=8e-5)
    assert ours.origin["code"] == "n2amd"
    assert ours.origin["reference"] == str(reference)
    assert read_attributes(out)["code"] == read_attributes(reference)["code"]
    assert not out.with_name("again.h5.work").exists()


def test_what_was_killed_goes_on(reference, structures, tmp_path, monkeypatch):
    out = tmp_path / "more.h5"
    campaign = ScfCampaign(reference, 0.9, 1e-3)
    compute = scf_frames._compute

    def killed(campaign, structure, path):
        if path.stem == "frame_0001":
            raise KeyboardInterrupt
        compute(campaign, structure, path)

    monkeypatch.setattr(scf_frames, "_compute", killed)
    with pytest.raises(KeyboardInterrupt):
        compute_frames(campaign, structures, out)
    assert not out.exists()
    monkeypatch.setattr(scf_frames, "_compute", compute)
    assert compute_frames(campaign, structures, out) == 1
    frames = list(read_frames(out))
    np.testing.assert_array_equal([f.structure.positions for f in frames], [s.positions for s in structures])


def test_frames_of_other_settings_are_not_taken_over(reference, structures, tmp_path, monkeypatch):
    out = tmp_path / "more.h5"
    monkeypatch.setattr(scf_frames, "merge", lambda paths, out: None)
    monkeypatch.setattr(scf_frames.shutil, "rmtree", lambda folder: None)
    compute_frames(ScfCampaign(reference, 0.9, 1e-2), structures[:1], out)
    assert compute_frames(ScfCampaign(reference, 0.9, 1e-2), structures[:1], out) == 1
    assert compute_frames(ScfCampaign(reference, 0.9, 1e-3), structures[:1], out) == 0


def test_from_the_command_line(reference, structures, tmp_path):
    listed = tmp_path / "frames.xyz"
    write_structures(listed, [(s, {}) for s in structures[1:]])
    arguments = ["scf", "--dataset", str(reference), "--structures", str(listed), "--k-spacing", "0.9"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "new.h5"), "--jobs", "2"])
    assert done.exit_code == 0, done.output
    assert "2 frames, 0 of them finished before" in done.output
    assert [f.name for f in read_frames(tmp_path / "new.h5")] == ["frame_0000", "frame_0001"]


def test_an_element_without_ingredients_is_named(reference, structures, tmp_path):
    foreign = structures[0].with_positions(structures[0].positions)
    foreign = type(foreign)(foreign.cell, foreign.positions, np.array([14, 6]), foreign.pbc)
    with pytest.raises(InputError, match="no ingredients of the element with Z = 6"):
        compute_frames(ScfCampaign(reference, 0.9, 1e-3), [foreign], tmp_path / "out.h5")


def test_vacuum_needs_one_k_point(reference, structures, tmp_path):
    """The distance of k points is that along the axes of a crystal, and they run along these only."""
    layer = structures[0]
    cell = np.array([layer.cell[0], layer.cell[1], [0.0, 0.0, 30.0]])
    layer = type(layer)(cell, layer.positions, layer.numbers, layer.pbc)
    compute_frames(ScfCampaign(reference, 0.9, 1e-1), [layer], tmp_path / "layer.h5")
    (frame,) = read_frames(tmp_path / "layer.h5")
    assert len(frame.bands.kpoints) == 5  # 3 x 3, of k and -k one
    assert set(frame.bands.kpoints[:, 2]) == {0.0}
    lengths = np.linalg.norm(2 * np.pi * np.linalg.inv(cell).T, axis=1)
    assert reference_spacing(tmp_path / "layer.h5") == pytest.approx(lengths[:2].max() / 3)


def test_a_data_set_without_ingredients_takes_fitted_ones(reference, structures, tmp_path):
    """What a model fitted to the frames, where the files of the run gave none; without either it is said."""
    bare, out = tmp_path / "bare.h5", tmp_path / "out.h5"
    shutil.copy(reference, bare)
    with edited(bare) as file:
        del file["ingredients"]
        file.attrs["functional"] = "gga-pbe"
        origins = [json.loads(text) for text in file["frames/origin"].asstr()[...]]
        del file["frames/origin"]
        file["frames/origin"] = [json.dumps({**o, "functional": "GGA-PBE"}) for o in origins]
    with pytest.raises(InputError, match=r"no ingredients of H0.*--model"):
        compute_frames(ScfCampaign(bare, 0.9, 1e-2), structures[1:2], out)
    fitted = read_ingredients(reference).to_json()
    compute_frames(ScfCampaign(bare, 0.9, 1e-2, fitted=fitted), structures[1:2], out)
    compute_frames(ScfCampaign(reference, 0.9, 1e-2), structures[1:2], tmp_path / "own.h5")
    ours, own = (next(iter(read_frames(path))) for path in (out, tmp_path / "own.h5"))
    for key, blocks in own.hamiltonian.values.items():
        np.testing.assert_array_equal(ours.hamiltonian.values[key], blocks)
    # and both are one set, whatever the code calls its functional
    assert merge([bare, out], tmp_path / "both.h5") == 2


@pytest.mark.parametrize("place", ["label", "frames"])
def test_hybrids_are_refused(reference, structures, tmp_path, place):
    hybrid = tmp_path / "hybrid.h5"
    shutil.copy(reference, hybrid)
    with edited(hybrid) as file:
        if place == "label":
            file.attrs["functional"] = "HSE06"
        else:
            origins = [json.loads(text) for text in file["frames/origin"].asstr()[...]]
            del file["frames/origin"]
            file["frames/origin"] = [json.dumps({**o, "functional": "HSE06"}) for o in origins]
    with pytest.raises(InputError, match="no exact exchange, which HSE06 needs"):
        compute_frames(ScfCampaign(hybrid, 0.9, 1e-3), structures[:1], tmp_path / "out.h5")


def test_vacuum_does_not_set_the_distance_of_k_points(reference, monkeypatch):
    frame = next(iter(read_frames(reference)))
    sheet = replace(frame.structure, cell=np.diag([3.0, 3.0, 9.0]))
    kpoints, weights = half_mesh((6, 6, 1))
    bands = replace(frame.bands, kpoints=kpoints, weights=weights)
    monkeypatch.setattr(
        scf_frames, "read_frames", lambda path: iter([replace(frame, structure=sheet, bands=bands)])
    )
    assert reference_spacing(reference) == pytest.approx(2 * np.pi / 18)


def of_electrons(reference, path, *electrons: tuple[float, float | None], spin: float | None = None):
    """A data set of the reference's frame with other charges and fixed total spins, or a free one."""
    frame, basis = next(iter(read_frames(reference))), read_basis(reference)
    with create_dataset(path, code="honpas") as writer:
        for k, (charge, moment) in enumerate(electrons):
            twice = {key: np.concatenate([v, v]) for key, v in frame.hamiltonian.values.items()}
            changed = replace(
                frame,
                name=f"frame {k}",
                hamiltonian=frame.hamiltonian.map(twice),
                charge=charge,
                n_electrons=frame.n_electrons - charge,
                fixed_moment=moment,
                spin=spin,
                bands=None,
            )
            writer.append(changed, basis, {})
    return path


def test_charge_and_total_spin_are_the_references(reference, structures, tmp_path):
    ions = of_electrons(reference, tmp_path / "ions.h5", (1.0, 1.0))
    campaign = ScfCampaign(ions, 0.9, 1e-2, lambda: partial(start_of, reference=reference))
    compute_frames(campaign, structures[1:2], tmp_path / "out.h5")
    (found,) = read_frames(tmp_path / "out.h5")
    assert (found.charge, found.n_electrons, found.fixed_moment) == (1, 7, 1)
    assert found.hamiltonian.n_spin == 2
    assert found.fermi_level is None


def start_of(structure, reference):
    """Nothing beyond neutral atoms, as a model without spin has it."""
    return np.zeros(read_ingredients(reference).mesh_of(structure.cell).shape)


def test_frames_of_several_charges_or_free_spins_are_no_reference(reference, structures, tmp_path):
    two = of_electrons(reference, tmp_path / "two.h5", (1.0, 1.0), (0.0, 0.0))
    with pytest.raises(InputError, match=r"charge and total spin \(0.0, 0.0\), of the first frame"):
        compute_frames(ScfCampaign(two, 0.9, 1e-2), structures[:1], tmp_path / "out.h5")
    free = of_electrons(reference, tmp_path / "free.h5", (1.0, None))
    with pytest.raises(InputError, match=r"how many electrons are up and how many down is not known"):
        compute_frames(ScfCampaign(free, 0.9, 1e-2), structures[:1], tmp_path / "out.h5")
    part = of_electrons(reference, tmp_path / "part.h5", (1.0, None), spin=0.8)
    with pytest.raises(
        InputError, match=r"frame 0.*: 3.9 electrons up and 3.1 down in a run without a fixed"
    ):
        compute_frames(ScfCampaign(part, 0.9, 1e-2), structures[:1], tmp_path / "out.h5")


def test_electrons_that_contradict_charge_or_spin_are_refused(reference, structures, tmp_path):
    three = of_electrons(reference, tmp_path / "three.h5", (1.0, 2.0))
    with pytest.raises(InputError, match=r"electrons of the channels 4.5, 2.5 fill no whole bands"):
        compute_frames(ScfCampaign(three, 0.9, 1e-2), structures[:1], tmp_path / "out.h5")
    frame, basis = next(iter(read_frames(reference))), read_basis(reference)
    with create_dataset(tmp_path / "wrong.h5", code="honpas") as writer:
        writer.append(replace(frame, charge=1.0), basis, {})
    with pytest.raises(InputError, match=r"8 electrons; its atoms and a charge of 1 make 7"):
        compute_frames(ScfCampaign(tmp_path / "wrong.h5", 0.9, 1e-2), structures[:1], tmp_path / "out.h5")


def test_the_whole_spin_of_a_free_run_is_held(reference, structures, tmp_path):
    free = of_electrons(reference, tmp_path / "free.h5", (1.0, None), spin=1.0)
    compute_frames(ScfCampaign(free, 0.9, 1e-2), structures[1:2], tmp_path / "out.h5")
    (found,) = read_frames(tmp_path / "out.h5")
    assert (found.charge, found.n_electrons, found.fixed_moment) == (1, 7, 1)
