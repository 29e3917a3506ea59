"""The fdf format: everything that SIESTA's own reader takes, and the k mesh and spin that come of it."""

from __future__ import annotations

import re

import pytest
from model_run import KPOINTS, random_model, write_eig, write_run

from n2amd.dataset.gate import measure
from n2amd.dft.siesta.fdf import find_input, read_fdf, read_list, split_words
from n2amd.dft.siesta.frame import read_frame
from n2amd.dft.siesta.kmesh import k_mesh
from n2amd.dft.siesta.tables import read_eigenvalues
from n2amd.errors import InputError


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("MeshCutoff  300.0 Ry  # converged", ["MeshCutoff", "300.0", "Ry"]),
        ("SystemLabel = Si ; a semicolon", ["SystemLabel", "Si"]),
        ("NetCharge: 1.d0! dense", ["NetCharge", "1.d0"]),
        ("SystemName 'GaAs # 1' \"two words\"", ["SystemName", "GaAs # 1", "two words"]),
        ("SystemName 'no end", ["SystemName", "no end"]),
        ("kgrid.MonkhorstPack [5, 5 5]#list", ["kgrid.MonkhorstPack", "[5, 5 5]"]),
        ("List [1 -- 5] [-1,-3]", ["List", "[1 -- 5]", "[-1,-3]"]),
        ("A B<file.fdf", ["A", "B", "<", "file.fdf"]),
        ("MD.MaxForceTol 0.04 eV/Ang\t1e-3 cm**-1", ["MD.MaxForceTol", "0.04", "eV/Ang", "1e-3", "cm**-1"]),
        ("  # nothing", []),
    ],
)
def test_lines_are_split_as_siesta_splits_them(line, words):
    assert split_words(line) == words


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("[5 5 5]", [5, 5, 5]),
        ("[5,5 , 5]", [5, 5, 5]),
        ("[1 -- 5]", [1, 2, 3, 4, 5]),
        ("[ 1 to 3 , 4]", [1, 2, 3, 4]),
        ("[100 -- 80 step 7, 3]", [100, 93, 86, 3]),
        ("[-2 to -4]", [-2, -3, -4]),
        ("[0.5d0 -1.0E-1]", [0.5, -0.1]),
        ("[]", []),
    ],
)
def test_lists_and_ranges(text, numbers):
    assert read_list(text) == numbers


@pytest.mark.parametrize("text", ["5 5 5", "[5 x 5]", "[1 -- 5 step 0]", "[5 5"])
def test_what_is_no_list(text):
    with pytest.raises(ValueError, match=r"list|could not convert|no step"):
        read_list(text)


BLOCK = "%block kgrid_Monkhorst_Pack\n{}\n%endblock\n"


@pytest.mark.parametrize(
    ("text", "mesh"),
    [
        ("kgrid.MonkhorstPack [5 5 5]\nPDOS.kgrid.MonkhorstPack [7 7 7]", "5 5 5"),
        ("kgrid.MonkhorstPack [4, 4, 1]", "4 4 1"),
        (BLOCK.format("4 0 0 0.0\n0 5 0 0.0\n0 0 6 0.0"), "4 5 6"),
        (BLOCK.format("4 0 0\n0 5 0\n0 0 6"), "4 5 6"),
        (BLOCK.format("4\n5\n6"), "4 5 6"),
        (BLOCK.format("4 0.5\n5 0.0 # one column\n6"), "4 5 6 shifted 0.5 0 0"),
        (BLOCK.format("2 2 0 0.5\n-2 2 0 0.5\n0 0 4 0."), "2 2 0, -2 2 0, 0 0 4 shifted 0.5 0.5 0"),
        ("kgrid_cutoff = 10. Ang", "cutoff 10. Ang"),
        ("kgrid_Monkhorst_Pack 5 5 5", None),
        ("SystemLabel x", None),
    ],
)
def test_the_k_mesh_is_that_of_the_input(text, mesh, tmp_path):
    path = tmp_path / "in.fdf"
    path.write_text(text)
    assert k_mesh(path, read_fdf(path)) == mesh


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kgrid.MonkhorstPack [5 5]", r"2 numbers in the list \[5 5\], not 3"),
        ("kgrid.MonkhorstPack [5 5 x]", "could not convert"),
        (BLOCK.format("4 0 0\n0 5 0"), "2 of 3 rows"),
        (BLOCK.format("4\nfive\n6"), "2 of 3 rows"),
        (BLOCK.format("4.5\n5\n6"), "4.5 is no integer"),
    ],
)
def test_a_k_mesh_that_siesta_would_not_read_is_refused(text, problem, tmp_path):
    path = tmp_path / "in.fdf"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        k_mesh(path, read_fdf(path))
    assert (caught.value.file, caught.value.field) == (path, "kgrid.MonkhorstPack")
    assert "three integers" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "mesh"),
    [("kgrid.MonkhorstPack [5 5 5]\n", "5 5 5"), (BLOCK.format("3\n3\n1 0.5"), "3 3 1 shifted 0 0 0.5")],
)
def test_a_run_with_such_an_input_is_read(text, mesh, tmp_path):
    write_run(tmp_path / "run", random_model(1), 1, "HSX 2")
    (tmp_path / "run" / "in.fdf").write_text(f"SystemLabel = model\n{text}")
    assert read_frame(tmp_path / "run", "siesta")[0].origin["k_mesh"] == mesh


def test_redirection_takes_a_block_or_the_whole_file(tmp_path):
    """`%block LABEL < FILE` where the file has the rows only; `LABELS < FILE`; a file in another folder."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "in.fdf").write_text(
        "%block Coordinates < coords.dat %dump\n%include parts/first.fdf\nXC.Authors Mesh.Cutoff<'more.fdf'\n"
    )
    (tmp_path / "coords.dat").write_text("# x y z\n 0.0 0.0 0.0 1\n 1.3 1.3 1.3 2\n")
    (tmp_path / "parts" / "first.fdf").write_text("%include second.fdf\n%include third.fdf\n")
    (tmp_path / "second.fdf").write_text("SystemLabel GaAs\n")
    (tmp_path / "parts" / "third.fdf").write_text("NetCharge 1\n")
    (tmp_path / "more.fdf").write_text("xc_authors PBE\nMeshCutoff 200 Ry\nSystemLabel other\n")
    assert read_fdf(tmp_path / "in.fdf") == {
        "coordinates": "0.0 0.0 0.0 1\n1.3 1.3 1.3 2",
        "systemlabel": "GaAs",
        "netcharge": "1",
        "xcauthors": "PBE",
        "meshcutoff": "200 Ry",
    }
    assert [path.name for path in find_input(tmp_path)] == ["in.fdf"]


@pytest.mark.parametrize(
    "older",
    [
        "SpinPolarized T\nNonCollinearSpin .true.",
        "NonCollinearSpin",
        "SpinPolarized no\nNonCollinearSpin yes\nSpinOrbit F",
        "SpinOrbit = y\nSpinPolarized",
        "Spin: SO+onsite",
    ],
)
def test_older_names_of_spin(older, tmp_path):
    components = 8 if re.search("SpinOrbit = y|SO", older) else 4
    write_run(tmp_path / "run", random_model(4), 8, "HSX 2")
    (tmp_path / "run" / "in.fdf").write_text(f"SystemLabel model\n{older}\n")
    if components == 8:
        assert read_frame(tmp_path / "run", "siesta")[0].hamiltonian.n_spin == 4
    else:
        with pytest.raises(InputError, match="is 4 in the fdf input, 8 in the run"):
            read_frame(tmp_path / "run", "siesta")


@pytest.mark.parametrize("n_components", [1, 2, 8])
@pytest.mark.parametrize("form", ["now", "4.0"])
def test_the_lowest_eigenvalues_alone_are_compared(n_components, form, tmp_path):
    """NumberOfEigenStates 12 of 13: spinors as one list of 24, or as by SIESTA 4.0, 12 and 12 of 13."""
    folder = tmp_path / "run"
    write_run(folder, random_model(4 if n_components == 8 else n_components), n_components, "HSX 2")
    path = folder / "model.EIG"
    fermi, energies = read_eigenvalues(path)
    assert energies.shape == (len(KPOINTS), 2 if n_components == 2 else 1, 26 if n_components == 8 else 13)
    if n_components == 8 and form == "4.0":
        halves = energies.reshape(len(KPOINTS), 2, 13)[..., :12]
        write_eig(path, fermi, halves, 2)
        expected = 12
    else:
        expected = 24 if n_components == 8 else 12
        write_eig(path, fermi, energies[..., :expected], n_components)
    frame, basis = read_frame(folder, "siesta")
    assert frame.bands.energies.shape[2] == expected
    assert frame.bands.energies == pytest.approx(energies[..., :expected], abs=1e-8)
    figures = measure(frame, basis)
    assert figures["eigenvalue_error"] < 1e-3
    assert figures["bands_missing"] == (1 if expected == 12 and n_components == 8 else 0)
