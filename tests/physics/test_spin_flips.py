"""Spins that spin-orbit coupling flips: rates against Fermi's golden rule."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from spin_model import couplings_with_spins, golden_rule
from typer.testing import CliRunner

from n2amd.analysis.kinetics import rates_of_path
from n2amd.analysis.lifetime import Resampling
from n2amd.analysis.page.spins import spins_section
from n2amd.analysis.populations import read_run
from n2amd.analysis.spin_flips import flips_of_case
from n2amd.commands.analysis import app as analysis_app
from n2amd.commands.dynamics import app as dynamics_app
from n2amd.couplings.store import read_couplings, write_couplings
from n2amd.errors import InputError
from n2amd.hopping import dish, propagators, renewal
from n2amd.hopping.neighbours import with_neighbours
from n2amd.hopping.path import path_of
from n2amd.units import HBAR_EV_FS

HOT = float("inf")
RESAMPLING = Resampling(50.0, 10, 0.9, 1)


def two_levels(coupling: float, gap: float, frames: int = 400):
    """A filled state far below, and two orbitals: V_SO couples each with the other one of the other spin."""
    elements = np.zeros((3, 3, 3), dtype=complex)
    elements[0, 1, 2], elements[0, 2, 1] = 1j * coupling, -1j * coupling
    return couplings_with_spins([-2.0, 0.0, gap], elements, frames)


def test_what_couples_spins_is_in_the_hamiltonian_that_carriers_move_with():
    elements = np.zeros((3, 3, 3), dtype=complex)
    elements[:, 1, 2], elements[:, 2, 1] = [1e-3j, 2e-3j, 3e-3j], [-1e-3j, -2e-3j, -3e-3j]
    path = path_of(couplings_with_spins([-2.0, 0.0, 0.1], elements, 5), "electron")
    assert path.spin.tolist() == [0, 0, 1, 0, 1]
    mixing = path.source.window.mixing[0]
    # CBM up with CBM+1 down: A_x - i A_y; of the same spin A_z, of the other sign for down
    assert mixing[2, 5] == pytest.approx(1e-3j + 2e-3)
    assert mixing[2, 4] == pytest.approx(3e-3j)
    assert mixing[3, 5] == pytest.approx(-3e-3j)
    np.testing.assert_allclose(mixing, mixing.conj().T)
    hole = path_of(couplings_with_spins([-2.0, 0.0, 0.1], elements, 5), "hole")
    assert hole.spin.tolist() == [0, 0, 1]
    assert hole.energies[0].tolist() == [0.0, -2.0, -2.0]


@pytest.mark.parametrize(("gap", "tau"), [(0.05, 15.0), (0.02, 25.0), (0.2, 8.0)])
def test_the_exact_rate_is_that_of_the_golden_rule(gap, tau):
    """Coherence that ends after exponential times broadens the level to a Lorentzian."""
    coupling = 5e-4
    path = path_of(two_levels(coupling, gap), "electron")
    up, flipped = path.source.columns[[1, 4]]
    pair = replace(path.whole, start=int(up), final=int(flipped))
    # the time step resolves the waiting: the sum over whole steps is the integral
    fine = replace(pair, timestep_fs=0.05)
    steps = propagators.build(fine, "local_diabatic")
    life = renewal.lifetime(fine, steps, tau, HOT, waiting="exponential")
    assert 1 / life == pytest.approx(golden_rule(coupling, gap, tau), rel=0.01)


def test_hops_of_trajectories_flip_spins_at_the_golden_rule():
    coupling, gap, tau = 1.5e-3, 0.05, 20.0
    path = path_of(two_levels(coupling, gap), "electron")
    times = tau * (1 - np.eye(path.states))
    times[[1, 2, 3, 4], [2, 1, 4, 3]] = np.inf
    times[0], times[:, 0] = np.inf, np.inf
    steps = propagators.build(path, "local_diabatic")
    tables = dish.prepare(path, steps, times, HOT, waiting="exponential", absorbing=False)
    run = dish.run_block(
        tables,
        seed=1,
        sample=0,
        start_frame=0,
        start_state=1,
        steps=20000,
        stride=1,
        trajectories=range(4000),
    )
    flips = run.hops[1, 4] + run.hops[4, 1] + run.hops[2, 3] + run.hops[3, 2]
    assert flips == run.hops.sum() > 4000
    assert flips / (4000 * 20000) == pytest.approx(golden_rule(coupling, gap, tau), rel=0.05)


def test_flips_into_a_dense_band_know_no_dephasing_time():
    """2 pi / hbar V^2 times the density of states, however long the coherence (2 meV between levels)."""
    band, coupling = np.arange(-0.12, 0.12, 0.002) + 0.501, 2e-4
    levels = [-2.0, 0.5, *band]
    order = np.argsort(levels)
    n, start = len(levels), int(np.flatnonzero(order == 1)[0])
    elements = np.zeros((3, n, n), dtype=complex)
    elements[0, start], elements[0, :, start] = 1j * coupling, -1j * coupling
    elements[0, start, [0, start]] = elements[0, [0, start], start] = 0.0
    path = path_of(couplings_with_spins(np.asarray(levels)[order].tolist(), elements, 5), "electron")
    wanted = 2 * np.pi / HBAR_EV_FS * coupling**2 / 2e-3
    up = 1 + 2 * (start - 1)
    for tau in (150, 250):
        steps = propagators.build(path.whole, "local_diabatic")
        amplitude = np.linalg.matrix_power(steps[0], tau)[:, path.source.columns[up]]
        # the first two columns are the filled state
        down = np.abs(amplitude[3::2]) ** 2
        assert down.sum() > 0.02
        assert -np.log(1 - down.sum()) / tau == pytest.approx(wanted, rel=0.05)


def test_rates_report_and_populations_by_command(tmp_path):
    couplings = two_levels(3e-3, 0.03)
    energies = couplings.energies + 0.02 * np.sin(
        np.add(np.outer(np.arange(400), [0.05, 0.11, 0.083]), [0, 1, 2])
    )
    moving = replace(couplings, energies=energies, window=replace(couplings.window, energies=energies))
    file, out = tmp_path / "couplings.h5", tmp_path / "flips.json"
    write_couplings(file, moving)
    assert read_couplings(file).window.spin_orbit.shape == (400, 3, 3, 3)
    made = CliRunner().invoke(
        analysis_app, ["spin-flips", "--couplings", str(file), "--out", str(out), "--temperature", "300"]
    )
    assert made.exit_code == 0, made.output
    report = json.loads(out.read_text())
    assert report["states"] == ["VBM up", "CBM up", "CBM down", "CBM+1 up", "CBM+1 down"]
    rows = {(row["from"], row["to"]): row for row in report["rates"]}
    assert set(rows) == {
        *(("CBM up", "CBM+1 down"), ("CBM+1 down", "CBM up")),
        *(("CBM down", "CBM+1 up"), ("CBM+1 up", "CBM down")),
    }
    assert all(row["flips"] for row in rows.values())
    # the only way to the other spin
    assert report["spin_lifetime_ns"]["value"] == pytest.approx(
        rows["CBM up", "CBM+1 down"]["time_ns"]["value"]
    )
    assert report["recombination_ns"]["value"] is None
    assert report["spin_orbit_rms_meV"][1][4] == pytest.approx(3.0)
    page = spins_section([{"material": "made <up>", "spin_flips": flips_of_case(out)}, {"material": "other"}])
    assert page.count("relaxation, spin flip, CBM up to CBM+1 down") == 1
    assert "made &lt;up&gt;: electron among spin states" in page
    assert "<th>recombination</th><td>never</td>" in page
    path = path_of(moving, "electron")
    again = rates_of_path(path, np.array(report["dephasing_fs"], dtype=float), 300.0, RESAMPLING)
    assert 1e6 * again.value[1, 4] == pytest.approx(rows["CBM up", "CBM+1 down"]["per_ns"]["value"])
    populations = tmp_path / "populations.h5"
    settings = "{samples: 4, trajectories: 50, duration_fs: 2000.0}"
    made = CliRunner().invoke(
        dynamics_app,
        [
            "run",
            "--couplings",
            str(file),
            "--out",
            str(populations),
            "--settings",
            settings,
            "--method",
            "dish",
        ],
    )
    assert made.exit_code == 0, made.output
    run = read_run(populations)
    assert run.names == tuple(report["states"])
    assert run.populations[-1, 4] > 0
    assert run.populations[-1, [0, 2, 3]].tolist() == [0.0, 0.0, 0.0]


def test_spins_that_are_closed_move_along():
    path = path_of(two_levels(3e-3, 0.03), "electron")
    found = with_neighbours(path, "local_diabatic", 1, 10.0)
    assert found.open_states == 5
    assert found.spin.tolist()[:5] == [0, 0, 1, 0, 1]


def test_derivative_couplings_alone_flip_no_spin():
    path = path_of(two_levels(3e-3, 0.03), "electron")
    with pytest.raises(InputError, match="hst propagates by derivative couplings alone, which flip no spin"):
        propagators.build(path, "hst")
