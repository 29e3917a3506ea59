"""Running many frames: what is done once, again, or left by a failure; inputs and checks of the engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from n2amd.config.data import DataSource
from n2amd.config.engines import Cp2kSettings, PyscfSettings
from n2amd.config.sections import load_section
from n2amd.dft.engines.campaign import run_frames
from n2amd.dft.engines.cp2k import Cp2k, find_command
from n2amd.dft.engines.cp2k_input import render_input
from n2amd.dft.engines.kmesh import half_mesh, off_mesh_points
from n2amd.dft.engines.pyscf import Pyscf, basis_name, real_space_mesh
from n2amd.errors import ComputationError, InputError
from n2amd.interop.extxyz import write_structures
from n2amd.preflight.engines import check_engine
from n2amd.preflight.faults import Faults
from n2amd.structure import Structure

SILICON = Structure.from_ase(bulk("Si"))
FRAMES = [(n, SILICON.with_positions(SILICON.positions + 0.01 * n)) for n in range(4)]
SETTINGS = Cp2kSettings()


@dataclass
class Scripted:
    """An engine that runs a shell command in every folder and wants a file `result` from it."""

    script: str

    def check(self, structures: Iterable[Structure]) -> None:
        pass

    def prepare(self, structure: Structure, folder: Path) -> None:
        (folder / "x").write_text(f"{structure.positions[0, 0]:.2f}")

    def command(self) -> list[str]:
        return ["sh", "-c", f"echo ran >> ../calls; {self.script}"]

    def conclude(self, folder: Path) -> None:
        if not (folder / "result").exists():
            raise ComputationError("the SCF cycle did not converge")


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().split()) if (folder / "calls").exists() else 0


def test_finished_frames_are_not_run_again(tmp_path: Path) -> None:
    engine = Scripted("cp x result")
    first = run_frames(engine, SETTINGS, FRAMES[:2], tmp_path)
    assert sorted(first.finished) == ["frame_0000", "frame_0001"]
    second = run_frames(engine, SETTINGS, FRAMES, tmp_path)
    assert second.reused == ["frame_0000", "frame_0001"]
    assert sorted(second.finished) == ["frame_0002", "frame_0003"]
    assert calls(tmp_path) == 4
    assert (tmp_path / "frame_0003/result").read_text() == "0.03"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    "settings",
    [Cp2kSettings(cutoff_Ry=300), Cp2kSettings(basis="SZV-MOLOPT-SR-GTH"), Cp2kSettings(kpoints=(2, 2, 2))],
)
def test_other_settings_run_again(settings: Cp2kSettings, tmp_path: Path) -> None:
    run_frames(Scripted("cp x result"), SETTINGS, FRAMES[:1], tmp_path)
    assert run_frames(Scripted("cp x result"), settings, FRAMES[:1], tmp_path).finished
    assert calls(tmp_path) == 2


def test_another_structure_runs_again(tmp_path: Path) -> None:
    run_frames(Scripted("cp x result"), SETTINGS, [(0, SILICON)], tmp_path)
    run_frames(Scripted("cp x result"), SETTINGS, [(0, FRAMES[3][1])], tmp_path)
    assert (tmp_path / "frame_0000/result").read_text() == "0.03"


def test_how_the_program_is_started_changes_nothing(tmp_path: Path) -> None:
    run_frames(Scripted("cp x result"), SETTINGS, FRAMES[:1], tmp_path)
    other = Cp2kSettings(command="mpiexec -n 2 cp2k")
    assert run_frames(Scripted("cp x result"), other, FRAMES[:1], tmp_path).reused == ["frame_0000"]


def test_a_failed_frame_is_marked_and_the_others_go_on(tmp_path: Path) -> None:
    engine = Scripted("grep -q 0.01 x && exit 3; cp x result")
    seen: list[tuple[int, int]] = []
    campaign = run_frames(engine, SETTINGS, FRAMES, tmp_path, progress=lambda *done: seen.append(done))
    assert campaign.failed == {"frame_0001": "the SCF cycle did not converge (exit code 3)"}
    assert sorted(campaign.finished) == ["frame_0000", "frame_0002", "frame_0003"]
    assert "did not converge" in (tmp_path / "frame_0001.part/failed.txt").read_text()
    assert seen[-1] == (4, 4)
    again = run_frames(Scripted("cp x result"), SETTINGS, FRAMES, tmp_path)
    assert list(again.finished) == ["frame_0001"]


def test_a_program_that_is_killed_says_so(tmp_path: Path) -> None:
    campaign = run_frames(Scripted("kill -9 $$"), SETTINGS, FRAMES[:1], tmp_path)
    assert "killed by signal 9" in campaign.failed["frame_0000"]


def test_frames_run_side_by_side_with_one_thread_each(tmp_path: Path) -> None:
    """Each waits until the other has started, which two in a row never would."""
    wait = "touch ../started.$$; while [ $(ls .. | grep -c started) -lt 2 ]; do sleep 0.05; done"
    engine = Scripted(f"echo $OMP_NUM_THREADS > result; {wait}")
    run_frames(engine, SETTINGS, FRAMES[:2], tmp_path, jobs=2)
    assert (tmp_path / "frame_0001/result").read_text() == "1\n"


def test_frames_die_with_the_one_who_runs_them(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_engines import FRAMES, SETTINGS, Scripted, run_frames\n"
        "run_frames(Scripted('echo $$ > ../pid; exec sleep 600'), SETTINGS, FRAMES[:1], Path(sys.argv[1]))\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)])
    try:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert runner.poll() is None
            time.sleep(0.05)
        pid = int((tmp_path / "pid").read_text())
    finally:
        runner.kill()
        runner.wait()
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text():
            break
        time.sleep(0.05)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the DFT program went on")
    assert (tmp_path / "frame_0000.part").exists()
    assert list(run_frames(Scripted("cp x result"), SETTINGS, FRAMES[:1], tmp_path).finished) == [
        "frame_0000"
    ]


@pytest.mark.parametrize("mesh", [(1, 1, 1), (2, 2, 2), (3, 3, 3), (2, 3, 4)])
def test_half_a_mesh_stands_for_the_whole(mesh: tuple[int, int, int]) -> None:
    kpoints, weights = half_mesh(mesh)
    both = np.concatenate([kpoints, -kpoints]) % 1 * mesh
    assert len({tuple(k) for k in np.rint(both).astype(int) % mesh}) == np.prod(mesh)
    assert weights.sum() == pytest.approx(1)
    assert not kpoints[0].any()
    assert (
        np.abs(off_mesh_points(mesh) * mesh - np.rint(off_mesh_points(mesh) * mesh)).max(axis=1).min() > 0.1
    )


def test_the_cp2k_input_has_gamma_in_its_mesh() -> None:
    text = render_input(SILICON, Cp2kSettings(kpoints=(2, 2, 3), basis={"Si": "SZV-MOLOPT-SR-GTH"}))
    assert "SCHEME MACDONALD 2 2 3 0.250000000000 0.250000000000 0.0" in text
    assert "BASIS_SET SZV-MOLOPT-SR-GTH" in text
    assert text.count("SPECIAL_POINT") == len(half_mesh((2, 2, 3))[0]) + 2
    opened = [line.split()[0][1:] for line in text.splitlines() if line.lstrip().startswith("&")]
    assert len([name for name in opened if name != "END"]) == len(opened) / 2 if "END" in opened else True
    assert text.count("&END") * 2 == text.count("&")


def test_the_cp2k_input_of_a_hybrid_is_at_gamma() -> None:
    text = render_input(SILICON, Cp2kSettings(functional="HSE06", kpoints=(1, 1, 1), forces=False))
    assert "&KPOINTS" not in text
    assert "OMEGA 0.11" in text
    assert "RUN_TYPE ENERGY\n" in text
    # the only eigenvalues of a run without k points, and what the gate compares
    assert "&MO" in text
    assert "NDIGITS 10" in text


@pytest.mark.parametrize(
    ("engine", "settings", "message"),
    [
        ("cp2k", {"functional": "HSE06"}, "HSE06 at Gamma only"),
        ("cp2k", {"cutoff_Ry": 5}, "cutoff_Ry"),
        ("cp2k", {"kpoints": [0, 1, 1]}, "kpoints"),
        ("cp2k", {"cutof_Ry": 200}, "no such option"),
        ("pyscf", {"functional": "HSE06"}, "no forces and no stress"),
        ("pyscf", {"functional": "LDA"}, "LDA"),
    ],
)
def test_bad_settings_are_one_sentence(engine: str, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_section(engine, json.dumps(settings))


def test_a_missing_executable_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"CP2K is not installed: no cp2k.psmp .* apt-get install"):
        find_command(SETTINGS)
    with pytest.raises(InputError, match="no /opt/cp2k/run"):
        find_command(Cp2kSettings(command="/opt/cp2k/run --fast"))


def test_an_element_without_basis_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "BASIS_MOLOPT").write_text("# a comment\n Si DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q4\n 1\n")
    (tmp_path / "GTH_POTENTIALS").write_text("Si GTH-PBE-q4 GTH-PBE\n    2    2\n")
    monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path))
    Cp2k(SETTINGS).check([SILICON])
    germanium = Structure.from_ase(bulk("Ge"))
    with pytest.raises(InputError, match=r"BASIS_MOLOPT.*no basis 'DZVP-MOLOPT-SR-GTH' for Ge"):
        Cp2k(SETTINGS).check([SILICON, germanium])
    with pytest.raises(InputError, match="no basis is named for Si"):
        Cp2k(Cp2kSettings(basis={"Ge": "SZV-MOLOPT-SR-GTH"})).check([SILICON])


@pytest.mark.pyscf
def test_pyscf_knows_bases_by_the_names_of_cp2k() -> None:
    assert basis_name("DZVP-MOLOPT-SR-GTH") == "gth-dzvp-molopt-sr"
    Pyscf(PyscfSettings()).check([SILICON])
    uranium = Structure.from_ase(bulk("U", "bcc", a=3.5))
    with pytest.raises(InputError, match="PySCF has no basis 'gth-dzvp-molopt-sr' for U"):
        Pyscf(PyscfSettings()).check([uranium])


def test_a_missing_pyscf_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyscf", None)
    with pytest.raises(InputError, match=r"PySCF is not installed.* pip install 'n2amd\[pyscf\]'"):
        Pyscf(PyscfSettings()).command()


@pytest.mark.parametrize("program", ["cp2k", "pyscf"])
def test_a_program_that_only_the_nodes_have_is_a_warning(
    program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The node that computes is not the one that checks; what needs no program is checked all the same."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyscf", None)
    source = DataSource.model_validate({"engine": {"program": program}, "structures": {"file": "si.extxyz"}})
    faults = Faults()
    check_engine(source, "materials.Si", [SILICON], faults)
    (warning,) = faults.warnings
    assert " is not installed" in warning
    assert warning.endswith("(on this machine)")
    assert faults.errors == []
    slab = Structure.from_ase(Atoms("Si", cell=[9, 9, 9], pbc=[True, True, False]))
    check_engine(source, "materials.Si", [slab], faults)
    assert len(faults.errors) == (program == "pyscf")


def test_a_mesh_too_coarse_for_the_range_of_h_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert real_space_mesh(SILICON, PyscfSettings()) == (6, 6, 6)
    with pytest.raises(InputError, match=r"\(3, 3, 3\) holds H\(R\) to 5.8 A only.*use \[6, 6, 6\]"):
        real_space_mesh(SILICON, PyscfSettings(real_space_mesh=(3, 3, 3)))
    assert real_space_mesh(SILICON, PyscfSettings(real_space_mesh=(5, 5, 5))) == (5, 5, 5)
    assert "warning: real_space_mesh (5, 5, 5) holds H(R) to 9.6 A" in capsys.readouterr().err


class TestCommand:
    """`n2amd dft run` as a person calls it."""

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "n2amd.cli", "dft", "run", *arguments]
        return subprocess.run(
            command, text=True, capture_output=True, check=False, env={**os.environ, **environment}
        )

    @pytest.fixture
    def structures(self, tmp_path: Path) -> str:
        write_structures(tmp_path / "s.extxyz", [(structure, {}) for _, structure in FRAMES])
        return str(tmp_path / "s.extxyz")

    def test_failures_are_listed_with_exit_code_1(self, structures: str, tmp_path: Path) -> None:
        """A stand-in for CP2K that never converges for one of the frames."""
        program = tmp_path / "cp2k.psmp"
        program.write_text(
            "#!/bin/sh\n"
            "grep -q 'Si 0.01' cp2k.inp && { echo ' *** SCF run NOT converged ***' > cp2k.out; exit 0; }\n"
            "echo ' PROGRAM ENDED AT' > cp2k.out; touch n2amd-KS_SPIN_1_R_1.csr n2amd-S_SPIN_1_R_1.csr\n"
        )
        program.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        options = ("--engine", "cp2k", "--structures", structures, "--out", str(tmp_path / "out"))
        done = self.run(*options, "--last", "1", "--json", str(tmp_path / "report.json"), PATH=path)
        assert done.returncode == 1
        assert "1 of 2 frames failed, the others are done: frame_0001: the SCF cycle did not" in done.stderr
        assert not (tmp_path / "report.json").exists()
        done = self.run(*options, "--first", "2", "--json", str(tmp_path / "report.json"), PATH=path)
        assert done.returncode == 0, done.stderr
        assert sorted(json.loads((tmp_path / "report.json").read_text())["computed"]) == [
            "frame_0002",
            "frame_0003",
        ]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--engine", "vasp"), "vasp"),
            (("--engine", "cp2k", "--first", "3", "--last", "9"), "the file holds 0 to 3"),
            (("--engine", "cp2k", "--structures", "absent.extxyz"), "does not exist"),
            (("--engine", "cp2k", "--settings", '{"command": "no-such-cp2k"}'), "CP2K is not installed"),
        ],
    )
    def test_bad_input_is_exit_code_2(
        self, arguments: tuple[str, ...], message: str, structures: str, tmp_path: Path
    ) -> None:
        done = self.run("--structures", structures, "--out", str(tmp_path / "out"), *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
