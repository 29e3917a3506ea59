"""The files around H: which run of a folder, its input, its log, and what may be missing."""

from __future__ import annotations

import bz2
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from model_run import random_model, write_run

from n2amd.dft.siesta.fdf import find_input, read_fdf
from n2amd.dft.siesta.frame import find_frames, read_frame
from n2amd.dft.siesta.log import read_origin
from n2amd.errors import InputError

LOG = """Siesta Version  : {version}
reinit: System Label: {label}
SCF cycle converged after 7 iterations
siesta:         Total =    -{energy}
>> End of run:   1-JAN-2026   0:00:00
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of the model, in single precision."""
    write_run(tmp_path / "run", random_model(1), 1, "HSX 0")
    return tmp_path / "run"


def test_fdf_keys_ignore_case_and_punctuation(tmp_path):
    path = tmp_path / "in.fdf"
    path.write_text("Mesh-Cutoff 200 Ry # dense\n%block K.Grid\n 4 0\n%endblock\nmeshcutoff 1 Ry\nSaveHS\n")
    assert read_fdf(path) == {"meshcutoff": "200 Ry", "kgrid": "4 0", "savehs": ""}


def test_fdf_includes_are_followed(tmp_path):
    (tmp_path / "in.fdf").write_text(
        "SystemLabel Si\n%include xc.fdf\n%block kgrid_Monkhorst_Pack < grid.fdf\n"
        "MeshCutoff MaxSCFIterations < more.fdf\n%include lost.fdf\nXC.Authors LDA\n"
    )
    (tmp_path / "xc.fdf").write_text("XC.Authors PBE\nSystemLabel other\n%include in.fdf\n")
    (tmp_path / "grid.fdf.gz").write_bytes(
        gzip.compress(b"%block kgrid.MonkhorstPack\n 2 0 0 0.\n%endblock\nMeshCutoff 50 Ry\n")
    )
    (tmp_path / "more.fdf").write_text("meshcutoff 300 Ry\n")
    assert read_fdf(tmp_path / "in.fdf") == {
        "systemlabel": "Si",
        "xcauthors": "PBE",
        "kgridmonkhorstpack": "2 0 0 0.",
        "meshcutoff": "300 Ry",
    }


def test_included_files_are_no_inputs_of_their_own(tmp_path):
    (tmp_path / "in.fdf").write_text("SystemLabel Si\n%include xc.fdf\n")
    (tmp_path / "xc.fdf.gz").write_bytes(gzip.compress(b"XC.Authors PBE\n"))
    (tmp_path / "other.fdf").write_text("SystemLabel Ge\n")
    assert [path.name for path in find_input(tmp_path)] == ["in.fdf", "other.fdf"]
    assert [path.name for path in find_input(tmp_path, "Si")] == ["in.fdf"]


def test_an_input_names_the_run_of_several(folder):
    """Other runs' files may lie beside it, until nothing says which run is meant."""
    expected, _ = read_frame(folder, "siesta")
    write_run(folder, random_model(1, fermi_ev=-1.0), 1, "HSX 1", label="second")
    with pytest.raises(InputError, match=r"the output of 2 runs \(model, second\), and no single fdf input"):
        read_frame(folder, "siesta")
    (folder / "first.fdf").write_text("SystemLabel model\n")
    assert read_frame(folder, "siesta")[0].fermi_level == expected.fermi_level
    (folder / "second.fdf").write_text("SystemLabel second\n")
    with pytest.raises(InputError, match="keep the output of one run in a folder"):
        read_frame(folder, "siesta")
    (folder / "first.fdf").unlink()
    assert read_frame(folder, "siesta")[0].fermi_level == -1.0


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("ending", COMPRESS)
def test_every_file_may_be_compressed(ending, folder):
    expected, basis = read_frame(folder, "siesta")
    for file in list(folder.iterdir()):
        (folder / f"{file.name}{ending}").write_bytes(COMPRESS[ending](file.read_bytes()))
        file.unlink()
    frame, found = read_frame(folder, "siesta")
    assert found == basis
    assert np.array_equal(frame.hamiltonian.values[31, 33], expected.hamiltonian.values[31, 33])
    assert find_frames([folder.parent]) == [folder]


def test_without_radial_functions_the_shells_are_those_of_hsx(folder):
    expected, whole = read_frame(folder, "siesta")
    for file in folder.glob("*.ion.xml"):
        file.unlink()
    frame, basis = read_frame(folder, "siesta")
    for z, atom in whole.atoms.items():
        assert [(s.l, s.label, s.radial) for s in basis[z].shells] == [
            (s.l, s.label, None) for s in atom.shells
        ]
        assert basis[z].valence_charge == atom.valence_charge
    assert np.array_equal(frame.hamiltonian.values[31, 33], expected.hamiltonian.values[31, 33])
    assert frame.origin["radial_functions"] == "unknown: no .ion.xml file"
    assert "radial_functions" not in expected.origin


def test_a_tshs_file_alone_needs_radial_functions(tmp_path):
    write_run(tmp_path, random_model(1), 1, "TSHS")
    _, whole = read_frame(tmp_path, "siesta")
    files = [path.rename(path.with_suffix(".kept")) for path in tmp_path.glob("*.ion.xml")]
    with pytest.raises(InputError, match=r"shells of the basis are unknown.*copy LABEL\.ion\.xml"):
        read_frame(tmp_path, "siesta")
    write_run(tmp_path / "other", random_model(1), 1, "HSX 0")
    shutil.copy(tmp_path / "other" / "model.HSX", tmp_path)
    _, basis = read_frame(tmp_path, "siesta")
    assert [s.label for s in basis[33].shells] == [s.label for s in whole[33].shells]
    files[0].rename(files[0].with_suffix(".xml"))
    with pytest.raises(InputError, match=r"no \.ion\.xml file of element"):
        read_frame(tmp_path, "siesta")


def test_the_files_of_other_species_are_left_aside(folder):
    """A ghost's file beside those of the run's own species does no harm."""
    text = (folder / "Ga.ion.xml").read_text()
    (folder / "Ga_ghost.ion.xml").write_text(text.replace("<z>31</z>", "<z>-31</z>"))
    assert read_frame(folder, "siesta")[1].numbers == (31, 33)
    (folder / "Ga.ion.xml").write_text(text.replace("<z>31</z>", "<z>-31</z>"))
    with pytest.raises(InputError, match=r"Ga\.ion\.xml.*atomic number -31 is a ghost"):
        read_frame(folder, "siesta")


def test_the_log_gives_version_and_energy(folder):
    (folder / "run.out").write_text(LOG.format(version="5.4.2", label="model", energy="230.5"))
    (folder / "other.out").write_text(LOG.format(version="4.0", label="other", energy="1.0"))
    (folder / "slurm-17.out").write_text("Running on 16 nodes\n")
    (folder / "fdf.20261124.log").write_text("SystemLabel model\n")
    origin = read_origin(folder, "model")
    assert (origin.provenance, origin.energies) == ({"version": "5.4.2"}, (-230.5,))
    assert read_frame(folder, "siesta")[0].energy == -230.5


def test_two_logs_of_one_run_are_refused(folder):
    for name in ("out", "again.log"):
        (folder / name).write_text(LOG.format(version="4.1.5", label="model", energy="1.0"))
    with pytest.raises(InputError, match=r"2 logs of the run model: again\.log, out"):
        read_frame(folder, "siesta")


@pytest.mark.parametrize("line", ["SCF cycle", "never"])
def test_a_log_that_does_not_converge_is_refused(line, folder):
    text = LOG.format(version="4.1.5", label="model", energy="1.0")
    (folder / "out").write_text(text.replace("SCF cycle", line) + "SCF_NOT_CONV: failed\n")
    with pytest.raises(InputError, match="does not end with a converged SCF cycle"):
        read_frame(folder, "siesta")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run: there is none of LABEL\.HSX, LABEL\.TSHS"):
        read_frame(tmp_path, "siesta")
