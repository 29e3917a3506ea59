from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from springs import Springs, copper, kill_at, not_finite_from, push_from

from n2amd.config.trajectory import TrajectorySettings
from n2amd.errors import InputError
from n2amd.structure import Structure
from n2amd.trajectory.file import FIELDS, FrameBlock
from n2amd.trajectory.md import FAILED_STEPS, MolecularDynamics
from n2amd.units import AMU_A2_FS2_IN_EV, BOLTZMANN_EV_K

SHORT = TrajectorySettings(equilibration_steps=25, frames=30, checkpoint_every=10, timestep_fs=2.0)
#: Force calls of SHORT: one at the start, one a step.
EQUILIBRATION_CALLS = 1 + SHORT.equilibration_steps


def simulate(
    workdir: Path, settings: TrajectorySettings, structure: Structure | None = None, then=None
) -> FrameBlock:
    structure = structure or copper()
    dynamics = MolecularDynamics(structure, Springs(structure, then), settings, workdir)
    dynamics.run()
    return joined(dynamics)


def joined(dynamics: MolecularDynamics) -> FrameBlock:
    blocks = list(dynamics.blocks())
    return FrameBlock(*(np.concatenate([getattr(block, name) for block in blocks]) for name in FIELDS))


def assert_same_bits(found: FrameBlock, expected: FrameBlock) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> FrameBlock:
    return simulate(tmp_path_factory.mktemp("whole"), SHORT)


def test_temperature_and_virial(tmp_path):
    settings = TrajectorySettings(
        temperature_K=300, equilibration_steps=1000, frames=800, timestep_fs=4.0, friction_per_fs=0.01
    )
    frames = simulate(tmp_path, settings)
    assert frames.temperature.mean() == pytest.approx(300, rel=0.05)
    # harmonic: as much potential as kinetic energy in every mode, the centre of mass at rest
    per_mode = 0.5 * BOLTZMANN_EV_K * 300
    assert frames.potential_energy.mean() / (3 * 32 - 3) == pytest.approx(per_mode, rel=0.05)
    assert np.ptp(frames.conserved) < 0.02 * frames.kinetic_energy.mean()


def test_frames_are_consistent(whole):
    masses = copper().to_ase().get_masses()
    kinetic = 0.5 * AMU_A2_FS2_IN_EV * np.einsum("a,fax,fax->f", masses, whole.velocities, whole.velocities)
    np.testing.assert_allclose(whole.kinetic_energy, kinetic, rtol=1e-6)
    temperature = 2 * kinetic / ((3 * 32 - 3) * BOLTZMANN_EV_K)
    np.testing.assert_allclose(whole.temperature, temperature, rtol=1e-6)
    momentum = np.einsum("a,fax->fx", masses, whole.velocities)
    assert abs(momentum).max() < 1e-12 * masses.sum()


def test_nve_is_velocity_verlet(whole):
    structure = copper()
    atoms, springs = structure.to_ase(), Springs(structure)
    masses = atoms.get_masses()[:, None] * AMU_A2_FS2_IN_EV
    position, velocity, dt = whole.positions[0], whole.velocities[0], SHORT.timestep_fs

    def acceleration(at):
        atoms.positions = at
        return springs.energy_and_forces(atoms)[1] / masses

    for frame in range(1, SHORT.frames):
        velocity = velocity + 0.5 * dt * acceleration(position)
        position = position + dt * velocity
        velocity = velocity + 0.5 * dt * acceleration(position)
        # two sets of fundamental constants
        np.testing.assert_allclose(position, whole.positions[frame], rtol=0, atol=1e-7)
        np.testing.assert_allclose(velocity, whole.velocities[frame], rtol=0, atol=1e-8)


def test_energy_error_is_of_second_order_in_the_time_step(tmp_path):
    spread = []
    for dt in (4.0, 2.0):
        settings = TrajectorySettings(equilibration_steps=0, frames=round(400 / dt), timestep_fs=dt)
        spread.append(np.ptp(simulate(tmp_path / str(dt), settings).conserved))
    assert 3 < spread[0] / spread[1] < 5


def test_velocities_follow_the_seed(tmp_path, whole):
    other = simulate(tmp_path, SHORT.model_copy(update={"seed": 2}))
    assert abs(other.velocities[0] - whole.velocities[0]).max() > 1e-3


# killed: before the first restart point, in the equilibration, at its end, early and late in NVE
@pytest.mark.parametrize(
    "call", [5, 18, EQUILIBRATION_CALLS, EQUILIBRATION_CALLS + 4, EQUILIBRATION_CALLS + 23]
)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, whole, call):
    child = multiprocessing.get_context("fork").Process(
        target=simulate, args=(tmp_path, SHORT), kwargs={"then": kill_at(call)}
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    structure = copper()
    springs = Springs(structure)
    dynamics = MolecularDynamics(structure, springs, SHORT, tmp_path)
    dynamics.run()
    assert_same_bits(joined(dynamics), whole)
    # it went on instead of starting afresh
    done = (call - 2) // 10 * 10 if call <= EQUILIBRATION_CALLS else 25 + (call - 27) // 10 * 10
    assert springs.calls <= 25 + SHORT.frames - done + 1


def test_more_frames_asked_for_later(tmp_path, whole):
    simulate(tmp_path, SHORT.model_copy(update={"frames": 7}))
    assert_same_bits(simulate(tmp_path, SHORT), whole)


def test_other_restart_intervals_change_nothing(tmp_path, whole):
    simulate(tmp_path, SHORT.model_copy(update={"frames": 13, "checkpoint_every": 4}))
    assert_same_bits(simulate(tmp_path, SHORT), whole)


def test_fewer_frames_asked_for_later(tmp_path, whole):
    simulate(tmp_path, SHORT)
    found = simulate(tmp_path, SHORT.model_copy(update={"frames": 12}), then=not_finite_from(2))
    assert_same_bits(found, FrameBlock(*(getattr(whole, name)[:12] for name in FIELDS)))


def test_other_settings_start_afresh(tmp_path, whole, capsys):
    simulate(tmp_path, SHORT.model_copy(update={"temperature_K": 250.0, "frames": 45}))
    assert "another job" not in capsys.readouterr().err
    assert_same_bits(simulate(tmp_path, SHORT), whole)
    assert "of another job (settings, data or program changed): started afresh" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "frames_0000010.npz").unlink(),
        lambda folder: cut(folder / "frames_0000010.npz"),
        lambda folder: flip(folder / "frames_0000000.npz"),
        lambda folder: cut(folder / "checkpoint.npz"),
        lambda folder: (folder / "checkpoint.npz").write_text("junk"),
        lambda folder: (folder / "identity").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "frames_0000000.npz").rename(folder / "frames_junk.npz"),
    ],
    ids=["block lost", "block cut", "bit flipped", "checkpoint cut", "junk", "no identity", "name"],
)
def test_damaged_restart_data_is_made_anew(tmp_path, whole, capsys, damage):
    """Also where a run that has all its frames only reads them again."""
    simulate(tmp_path, SHORT)
    damage(tmp_path)
    assert_same_bits(simulate(tmp_path, SHORT), whole)
    said = capsys.readouterr().err
    assert said.count("warning: ") >= 1
    assert "damaged" in said or "are missing: started afresh" in said


def test_a_block_that_goes_while_it_is_read_is_named(tmp_path):
    dynamics = MolecularDynamics(copper(), Springs(copper()), SHORT, tmp_path)
    dynamics.run()
    (tmp_path / "frames_0000010.npz").unlink()
    with pytest.raises(InputError, match="frames 10 to 29 are missing or damaged"):
        list(dynamics.blocks())


@pytest.mark.parametrize(
    ("call", "where"),
    [(12, "equilibration step 1"), (EQUILIBRATION_CALLS + 14, "frame 1"), (2, "equilibration step 1")],
)
def test_positions_that_are_not_finite(tmp_path, call, where):
    with pytest.raises(InputError, match=f"{where}.*not finite") as caught:
        simulate(tmp_path, SHORT, then=not_finite_from(call))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    failed = read(tmp_path / "failed.extxyz", index=":")
    assert 1 <= len(failed) <= FAILED_STEPS
    assert all(np.isfinite(atoms.positions).all() for atoms in failed)


@pytest.mark.parametrize("call", [12, EQUILIBRATION_CALLS + 14])
def test_an_atom_that_is_thrown_out(tmp_path, call):
    with pytest.raises(InputError, match=r"blew up at .*(flies off|temperature|apart)"):
        simulate(tmp_path, SHORT, then=push_from(call))
    assert (tmp_path / "failed.extxyz").exists()


def test_one_atom_is_refused(tmp_path):
    lone = Structure(np.diag([4.0, 4.0, 4.0]), np.zeros((1, 3)), np.array([29]))
    with pytest.raises(InputError, match="one atom") as caught:
        MolecularDynamics(lone, Springs(copper()), SHORT, tmp_path).run()
    assert caught.value.field == "supercell"
