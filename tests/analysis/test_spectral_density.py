"""Spectral densities against analytic processes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from n2amd.analysis.influence_spectrum import influence_spectrum
from n2amd.analysis.spectral_density import parzen, peaks, spectral_density
from n2amd.errors import InputError
from n2amd.units import LIGHT_CM_FS


def cosines(lines: dict[float, float], frames: int, timestep: float = 1.0) -> np.ndarray:
    """Sum of cosines: amplitudes by wave number."""
    time = timestep * np.arange(frames)
    return sum(
        amplitude * np.cos(2 * np.pi * LIGHT_CM_FS * k * time + 0.7 * n)
        for n, (k, amplitude) in enumerate(lines.items())
    )


@pytest.mark.parametrize("timestep", [0.5, 1.0, 2.0])
def test_cosines_are_lines_at_their_wave_numbers_that_weigh_half_their_squared_amplitudes(timestep):
    lines = {220.0: 3.0, 480.0: 5.0, 800.0: 2.0}
    series = 1.7 + cosines(lines, round(6000 / timestep), timestep)
    spectrum = spectral_density(series, timestep)
    found, slow = peaks(spectrum)
    assert slow < 1e-3
    assert [round(line.wave_number) for line in found] == [480, 220, 800]
    for line in found:
        amplitude = lines[float(round(line.wave_number))]
        assert line.wave_number == pytest.approx(round(line.wave_number), abs=0.5)
        assert line.share * spectrum.variance == pytest.approx(amplitude**2 / 2, rel=0.03)
    assert spectrum.mean == pytest.approx(1.7, abs=0.01)
    assert spectrum.nyquist == pytest.approx(1 / (2 * LIGHT_CM_FS * timestep))


@pytest.mark.parametrize("frames", [3, 16, 401, 5000])
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("lag", [None, 2])
def test_the_integral_is_the_variance_and_nothing_is_negative(frames, complex_, lag):
    """Parseval, to the last digits: by the trapezoidal rule over the stored grid."""
    rng = np.random.default_rng(frames)
    series = 3 + rng.standard_normal(frames) + (1j * rng.standard_normal(frames) if complex_ else 0)
    spectrum = spectral_density(series, 0.7, lag)
    assert spectrum.variance == pytest.approx(np.mean(np.abs(series - series.mean()) ** 2), rel=1e-12)
    total = np.trapezoid(spectrum.density, spectrum.wave_number)
    assert total == pytest.approx(spectrum.variance, rel=1e-10)
    assert spectrum.cumulative()[-1] == pytest.approx(total, rel=1e-10)
    assert spectrum.density.min() > -1e-12 * spectrum.density.max()
    assert np.isfinite(spectrum.error).all()


def test_against_the_double_sum_of_the_definition():
    rng = np.random.default_rng(3)
    series = rng.standard_normal(30) + 1j * rng.standard_normal(30)
    spectrum = spectral_density(series, 2.0, 9)
    deviation = series - series.mean()
    for k in (0, 5, 11, len(spectrum.density) - 1):
        total = 0.0
        for lag in range(-9, 10):
            pairs = [np.conj(deviation[t]) * deviation[t + lag] for t in range(30) if 0 <= t + lag < 30]
            c = sum(pairs) / 30 * float(parzen(np.array(lag / 9)))
            angle = 2 * math.pi * LIGHT_CM_FS * spectrum.wave_number[k] * 2.0 * lag
            total += 2 * LIGHT_CM_FS * 2.0 * (c * math.cos(angle)).real  # both signs of k: sines cancel
        assert spectrum.density[k] == pytest.approx(total, rel=1e-9)


def test_white_noise_is_flat_and_its_scatter_is_the_error_that_is_told():
    rng = np.random.default_rng(1)
    for frames, lag, source in ((600, 300, "chi-square"), (4000, 250, "blocks")):
        made = [spectral_density(2.0 * rng.standard_normal(frames), 1.0, lag) for _ in range(150)]
        assert {spectrum.error_source for spectrum in made} == {source}
        densities = np.array([spectrum.density for spectrum in made])
        mean, scatter = densities.mean(axis=0), densities.std(axis=0, ddof=1)
        inner = slice(len(mean) // 10, -len(mean) // 10)
        np.testing.assert_allclose(mean[inner], 4.0 / made[0].nyquist, rtol=0.2)
        told = np.mean([spectrum.error for spectrum in made], axis=0)
        assert (told / scatter)[inner].mean() == pytest.approx(1, abs=0.12)
        assert (scatter / mean)[inner].mean() == pytest.approx(made[0].relative_error, rel=0.1)


def test_an_ornstein_uhlenbeck_process_is_a_lorentzian():
    """C(t) = s^2 exp(-t / T): J = 4 c s^2 T / (1 + (2 pi c k T)^2), damped by the window but little."""
    rng = np.random.default_rng(5)
    memory, frames = 40.0, 400_000
    decay = np.exp(-1 / memory)
    noise = np.sqrt(1 - decay**2) * rng.standard_normal(frames)
    series = lfilter([1.0], [1.0, -decay], noise)[20 * round(memory) :]
    spectrum = spectral_density(series, 1.0, 2000)
    k = spectrum.wave_number
    wanted = 4 * LIGHT_CM_FS * memory / (1 + (2 * np.pi * LIGHT_CM_FS * k * memory) ** 2)
    shown = k < 500
    np.testing.assert_allclose(spectrum.density[shown], wanted[shown], rtol=0.2)
    assert np.mean(spectrum.density[shown] / wanted[shown]) == pytest.approx(1, abs=0.03)
    assert (np.abs(spectrum.density - wanted) / spectrum.error)[shown].mean() < 1.3
    smooth = replace(spectrum, density=wanted, variance=float(np.trapezoid(wanted, k)))
    assert peaks(smooth) == ([], 1.0)


def test_two_lines_closer_than_the_resolution_are_one():
    for apart, wanted in ((0.5, 1), (2.0, 2)):
        width = spectral_density(cosines({300.0: 1.0}, 4000), 1.0).resolution
        spectrum = spectral_density(cosines({300.0: 1.0, 300.0 + apart * width: 1.0}, 4000), 1.0)
        assert len(peaks(spectrum, least_share=0.1)[0]) == wanted


def test_the_resolution_is_the_width_at_half_maximum():
    spectrum = spectral_density(cosines({1500.0: 1.0}, 40_000), 1.0, 1000)
    above = spectrum.wave_number[spectrum.density > 0.5 * spectrum.density.max()]
    assert above[-1] - above[0] == pytest.approx(spectrum.resolution, abs=2 * spectrum.wave_number[1])


def test_a_complex_coupling_has_the_same_spectrum_in_any_constant_phase():
    rng = np.random.default_rng(2)
    series = cosines({400.0: 1.0}, 2000) * np.exp(0.4j) + 0.1 * rng.standard_normal(2000)
    one, other = spectral_density(series, 1.0), spectral_density(series * np.exp(1.1j), 1.0)
    np.testing.assert_allclose(one.density, other.density, rtol=1e-9, atol=1e-12)
    assert peaks(one)[0][0].wave_number == pytest.approx(400, abs=1)
    # a rotating phase is a line at its own wave number, whichever way it turns
    time = np.arange(2000)
    for sign in (1, -1):
        turning = spectral_density(np.exp(2j * sign * np.pi * LIGHT_CM_FS * 300 * time), 1.0)
        assert peaks(turning)[0][0].wave_number == pytest.approx(300, abs=1)


def test_what_makes_no_spectrum_is_told():
    with pytest.raises(InputError, match="2 values are too few"):
        spectral_density(np.arange(2.0), 1.0)
    with pytest.raises(InputError, match="does not fluctuate"):
        spectral_density(np.full(100, 1.8), 1.0)
    with pytest.raises(InputError, match="lag of 100 fs for a series of 100 fs"):
        spectral_density(np.arange(100.0), 1.0, 100)


def libra(series: list[float], dt_fs: float, acf_type: int, span: float, step: float) -> tuple[list, list]:
    """Libra's recipe1 as its documentation states it, in plain loops."""
    n = len(series)
    mean = sum(series) / n
    y = [x - mean for x in series]
    sums = [sum(y[t] * y[t + h] for t in range(n - h)) for h in range(n)]
    acf = [s / (n - h if acf_type == 0 else n) for h, s in enumerate(sums)]
    acf = [a / acf[0] for a in acf]
    dt = dt_fs / 0.02419
    amplitude = []
    for point in range(int(span / step)):
        w = point * step * 4.5563995075520960e-6
        amplitude.append(dt * (1.0 + sum(2.0 * math.cos(w * h * dt) * acf[h] for h in range(1, n))))
    return amplitude, [a * a / (2 * math.pi) for a in amplitude]


@pytest.mark.parametrize("acf_type", [0, 1])
def test_libras_influence_spectrum(acf_type):
    rng = np.random.default_rng(7)
    series = cosines({350.0: 1.0, 900.0: 0.6}, 90, 0.5) + 0.2 * rng.standard_normal(90)
    found = influence_spectrum(series, 0.5, acf_type, span=1200.0, step=25.0)
    amplitude, intensity = libra(series.tolist(), 0.5, acf_type, 1200.0, 25.0)
    np.testing.assert_allclose(found.amplitude, amplitude, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.intensity, intensity, rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(found.wave_number, 25.0 * np.arange(48))


def test_libra_and_the_spectral_density_agree_on_where_the_lines_are():
    series = cosines({350.0: 1.0, 900.0: 0.6}, 3000)
    found = influence_spectrum(series, 1.0, 1)
    strongest = found.wave_number[np.argmax(found.intensity)]
    assert strongest == pytest.approx(peaks(spectral_density(series, 1.0))[0][0].wave_number, abs=1.0)
