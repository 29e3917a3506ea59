"""The fast kernel of DISH: trajectories of one sample in step, so that they share what they read.

Amplitudes are c(t) = W(t) x with W the cumulative propagator, shared by everything, and x constant between
events: nothing is propagated. One amplitude is a dot product, an event one update of x. All trajectories of a
block stand at the same frame, whose W stays in the first-level cache, and their events are independent, so
that a processor works on several at a time.

Nothing is looked at while nothing can happen: the population outside the reference state (the one that the
wave function was last collapsed on) bounds every 1/tau_i, and how much can leak out of that state within a
few steps, tabulated once, bounds them ahead: hence a step before which no clock can run out. Populations of
all states are computed only where these bounds leave a decision open.

Rows are padded to whole vectors; their number comes as the length of a tuple, `blocks`: a compile-time
constant, so that loops over rows become a few instructions. Arrays are flat.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from n2amd.hopping.philox import draw, uniform
from n2amd.hopping.simd import (
    WIDTH,
    add,
    bits,
    fma,
    fnma,
    load,
    lowest_bit,
    multiply,
    reached,
    smaller,
    smallest,
    splat,
    store,
    subtract,
    total,
)

#: Bounds are compared with this slack, far above rounding and far below anything physical.
SLACK = 1e-9
#: Stands for an infinite time, in steps.
NEVER = 1e30
#: Vectors whose states fit into one word of due clocks.
WORD = 16
#: Steps of the calendar, a power of two above any look-ahead.
CALENDAR = 64
#: Purpose of the random numbers (the last word of Philox' counter).
STREAM = 0


@njit(cache=True, inline="always")
def next_word(seed, sample, first, t, words, used):  # type: ignore[no-untyped-def]
    """Take the next 32-bit word of the stream of trajectory first + t; four come from one call of Philox."""
    place = used[t] & 3
    if place == 0:
        a, b, c, d = draw(seed, sample, first + t, used[t] >> 2, STREAM)
        words[t, 0], words[t, 1], words[t, 2], words[t, 3] = a, b, c, d
    used[t] += 1
    return words[t, place]


@njit(cache=True)
def next_uniform(seed, sample, first, t, words, used):  # type: ignore[no-untyped-def]
    """Take two words of the stream as a number in [0, 1)."""
    high = next_word(seed, sample, first, t, words, used)
    return uniform(high, next_word(seed, sample, first, t, words, used))


@njit(cache=True, inline="always")
def amplitude(rows, row, x, start, blocks):  # type: ignore[no-untyped-def]
    """One amplitude: the dot product of a row of W with x."""
    width = WIDTH * len(blocks)
    plus, minus, cross, other = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    for b in range(len(blocks)):
        k = WIDTH * b
        w_re, w_im = load(rows, row + k), load(rows, row + width + k)
        x_re, x_im = load(x, start + k), load(x, start + width + k)
        plus, minus = fma(w_re, x_re, plus), fma(w_im, x_im, minus)
        cross, other = fma(w_re, x_im, cross), fma(w_im, x_re, other)
    return total(subtract(plus, minus)), total(add(cross, other))


@njit(cache=True, inline="always")
def collapse(rows, row, x, start, blocks):  # type: ignore[no-untyped-def]
    """Make x the wave function that is wholly in one state."""
    width = WIDTH * len(blocks)
    for b in range(len(blocks)):
        k = WIDTH * b
        store(x, start + k, load(rows, row + k))
        store(x, start + width + k, multiply(splat(-1.0), load(rows, row + width + k)))


@njit(cache=True, inline="always")
def project_out(rows, row, c_re, c_im, x, start, blocks):  # type: ignore[no-untyped-def]
    """Remove the amplitude c of one state from x."""
    width = WIDTH * len(blocks)
    real, imaginary = splat(c_re), splat(c_im)
    for b in range(len(blocks)):
        k = WIDTH * b
        w_re, w_im = load(rows, row + k), load(rows, row + width + k)
        x_re = fnma(w_re, real, load(x, start + k))
        x_im = fnma(w_re, imaginary, load(x, start + width + k))
        store(x, start + k, fnma(w_im, imaginary, x_re))
        store(x, start + width + k, fma(w_im, real, x_im))


@njit(cache=True)
def populations(columns, column, n, x, start, out, blocks):  # type: ignore[no-untyped-def]
    """Fill `out` with the populations of all states and return their sum; `columns` is W transposed."""
    width = WIDTH * len(blocks)
    everything = splat(0.0)
    for b in range(len(blocks)):
        plus, minus, cross, other = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        at = column + WIDTH * b
        for k in range(n):
            w_re, w_im = load(columns, at), load(columns, at + width)
            x_re, x_im = splat(x[start + k]), splat(x[start + width + k])
            plus, minus = fma(w_re, x_re, plus), fma(w_im, x_im, minus)
            cross, other = fma(w_re, x_im, cross), fma(w_im, x_re, other)
            at += 2 * width
        real, imaginary = subtract(plus, minus), add(cross, other)
        part = fma(real, real, multiply(imaginary, imaginary))
        store(out, WIDTH * b, part)
        everything = add(part, everything)
    return total(everything)


@njit(cache=True)
def leakage(rows, n, ahead, blocks):  # type: ignore[no-untyped-def]
    """Bound the amplitude outside state a within `ahead` steps of being wholly in it, (frames, n)."""
    size = 2 * WIDTH * len(blocks)
    frames = len(rows) // (n * size)
    leak = np.zeros((frames, n))
    start = np.empty(size)
    for frame in range(frames):
        for a in range(n):
            collapse(rows, (frame * n + a) * size, start, 0, blocks)
            least = 1.0
            for later in range(frame + 1, min(frame + ahead + 1, frames)):
                c_re, c_im = amplitude(rows, (later * n + a) * size, start, 0, blocks)
                least = min(least, c_re * c_re + c_im * c_im)
            # the square root of rounding errors is added
            leak[frame, a] = np.sqrt(max(0.0, 1.0 - least)) + 1e-7
    return leak


@njit(cache=True, inline="always")
def _quiet_until(most, since, wait, at, bounds, reference, blocks):  # type: ignore[no-untyped-def]
    """First step (a fraction) at which a clock may run out while at most `most` leaves the reference.

    A rate is at most r + most (highest - r), r that towards the reference; from 1 / (1 + x) >= 1 - x follows
    a bound without divisions, except for the reference state itself, whose r is zero.
    """
    longest, excess = bounds[2], bounds[3]
    row = WIDTH * len(blocks) * reference
    outside, first = splat(most), splat(NEVER)
    for b in range(len(blocks)):
        k = WIDTH * b
        interval = fnma(outside, load(excess, row + k), load(longest, row + k))
        first = smaller(first, fma(load(wait, at + k), interval, load(since, at + k)))
    own = since[at + reference] + wait[at + reference] / (most * bounds[1][row + reference] + 1e-300)
    return min(smallest(first), own)


@njit(cache=True, inline="always")
def _clear(masks):  # type: ignore[no-untyped-def]
    for word in range(len(masks)):
        masks[word] = 0


@njit(cache=True, inline="always")
def _count(masks):  # type: ignore[no-untyped-def]
    count = 0
    for word in range(len(masks)):
        count += bits(masks[word])
    return count


@njit(cache=True, inline="always")
def _bounded_due(step, outside, since, wait, at, bounds, reference, masks, blocks):  # type: ignore[no-untyped-def]
    """Mark the clocks that may have run out; return their number, and of how many it is not sure."""
    slow, spread = bounds[0], bounds[1]
    row = WIDTH * len(blocks) * reference
    now, leaked, inside = splat(step), splat(outside), splat((1.0 - outside) * (1.0 - 2 * SLACK))
    sure = 0
    _clear(masks)
    for b in range(len(blocks)):
        k = WIDTH * b
        elapsed, due = subtract(now, load(since, at + k)), load(wait, at + k)
        towards = load(slow, row + k)
        fastest = multiply(elapsed, fma(leaked, load(spread, row + k), towards))
        mask = reached(fma(fastest, splat(SLACK), fastest), due)
        masks[b // WORD] |= mask << (WIDTH * (b % WORD))
        sure += bits(reached(multiply(multiply(elapsed, towards), inside), due))
    count = _count(masks)
    return count, count - sure


@njit(cache=True)
def _exactly_due(step, population, norm, rates, since, wait, at, n, masks, blocks):  # type: ignore[no-untyped-def]
    """Mark the clocks that have run out, from the populations of all states; return their number."""
    width = WIDTH * len(blocks)
    _clear(masks)
    for b in range(len(blocks)):
        k = WIDTH * b
        rate = splat(0.0)
        for j in range(n):
            rate = fma(splat(population[j]), load(rates, j * width + k), rate)
        elapsed = subtract(splat(step), load(since, at + k))
        mask = reached(multiply(elapsed, rate), multiply(splat(norm), load(wait, at + k)))
        masks[b // WORD] |= mask << (WIDTH * (b % WORD))
    return _count(masks)


@njit(cache=True, inline="always")
def _chosen(masks, place):  # type: ignore[no-untyped-def]
    """State of the due clock at a place of their list."""
    word = 0
    while place >= bits(masks[word]):
        place -= bits(masks[word])
        word += 1
    mask = masks[word]
    for _ in range(place):
        mask &= mask - 1
    return WORD * WIDTH * word + lowest_bit(mask)


@njit(cache=True)
def _dominant(population, n):  # type: ignore[no-untyped-def]
    best = 0
    for j in range(1, n):
        if population[j] > population[best]:
            best = j
    return best


@njit(cache=True)
def run(  # type: ignore[no-untyped-def]
    rows,
    columns,
    leak,
    ahead,
    rates,
    bounds,
    cost,
    exponential,
    final,
    absorbing,
    key,
    begin,
    blocks,
    changes,
    hops,
    arrival_step,
    arrival_source,
):
    """Run the trajectories of a block, all in step; fills the last four arguments.

    Parameters
    ----------
    rows, columns
        W of every frame, (frames, n, 2, width), and its transpose, flat.
    leak, ahead
        Of `leakage`, (frames, n), and its look-ahead.
    rates
        dt / tau_ij, row j, column i, (n, width), flat.
    bounds
        For each reference state: the rate r towards it, what the highest rate exceeds it by, 1 / r, and the
        excess over r^2; (n, width), flat.
    cost
        Mid-step energies in units of kT, (frames - 1, n).
    final, absorbing
        State whose first arrivals are recorded, and whether trajectories end there.
    key, begin
        (seed, sample, first trajectory), (start frame, start state, steps, stride).
    blocks
        Tuple with one element for every vector of a row.
    changes
        Differences of the numbers of trajectories in each state, (times, n).
    """
    frames, n = leak.shape
    lap = frames - 1
    seed, sample, lowest = key
    frame, start_state, steps, stride = begin
    number, width = len(arrival_step), WIDTH * len(blocks)
    size = 2 * width
    x, y = np.zeros(number * size), np.zeros(size)
    population = np.zeros(width)
    since, wait = np.zeros(number * width), np.full(number * width, NEVER)
    norm, inverse = np.ones(number), np.ones(number)
    active, reference = np.full(number, start_state), np.full(number, start_state)
    # probability of having rejected everything since the last proposal, and where the next one falls
    survival, threshold = np.ones(number), np.zeros(number)
    words, used = np.zeros((number, 4), dtype=np.uint64), np.zeros(number, dtype=np.int64)
    # a calendar: the trajectories to look at in a step are a linked list
    first, following = np.full(CALENDAR, -1), np.arange(-1, number - 1)
    first[1] = number - 1
    masks = np.zeros((len(blocks) + WORD - 1) // WORD, dtype=np.int64)
    for t in range(number):
        collapse(rows, (frame * n + start_state) * size, x, t * size, blocks)
        threshold[t] = next_uniform(seed, sample, lowest, t, words, used)
        for i in range(n):
            wait[t * width + i] = 1.0
            if exponential:
                u = next_uniform(seed, sample, lowest, t, words, used)
                wait[t * width + i] = -np.log(1.0 - u)
    for step in range(1, steps + 1):
        if frame == lap:
            # head to tail: the same amplitudes, seen from frame 0
            for start in range(0, number * size, size):
                for j in range(n):
                    y[j], y[width + j] = amplitude(rows, (lap * n + j) * size, x, start, blocks)
                x[start : start + size] = y
            frame = 0
        frame += 1
        here = frame * n * size
        slot = step & (CALENDAR - 1)
        t = first[slot]
        first[slot] = -1
        while t >= 0:
            later = following[t]
            start, clocks, ref = t * size, t * width, reference[t]
            c_re, c_im = amplitude(rows, here + ref * size, x, start, blocks)
            inside = c_re * c_re + c_im * c_im
            outside = max(0.0, 1.0 - inside * inverse[t])
            now = float(step)
            count, open_questions = _bounded_due(
                now, outside, since, wait, clocks, bounds, ref, masks, blocks
            )
            if open_questions > 0:
                whole = populations(columns, here, n, x, start, population, blocks)
                count = _exactly_due(now, population, whole, rates, since, wait, clocks, n, masks, blocks)
            if count > 0:
                # one of them decoheres
                place = np.int64(0)
                if count > 1:
                    word = next_word(seed, sample, lowest, t, words, used)
                    place = np.int64((word * np.uint64(count)) >> np.uint64(32))
                i = _chosen(masks, place)
                since[clocks + i] = now
                if exponential:
                    u = next_uniform(seed, sample, lowest, t, words, used)
                    wait[clocks + i] = -np.log(1.0 - u)
                row = here + i * size
                c_re, c_im = amplitude(rows, row, x, start, blocks)
                part = c_re * c_re + c_im * c_im
                survival[t] *= max(0.0, 1.0 - part * inverse[t])
                accepted = False
                if survival[t] <= threshold[t]:
                    chance = next_uniform(seed, sample, lowest, t, words, used)
                    survival[t] = 1.0
                    threshold[t] = next_uniform(seed, sample, lowest, t, words, used)
                    uphill = max(0.0, cost[frame - 1, i] - cost[frame - 1, active[t]])
                    accepted = chance < np.exp(-uphill)
                if accepted:
                    collapse(rows, row, x, start, blocks)
                    norm[t], inverse[t], outside, reference[t] = 1.0, 1.0, 0.0, i
                    if i != active[t]:
                        hops[active[t], i] += 1
                        stored = (step + stride - 1) // stride
                        if stored < len(changes):
                            changes[stored, active[t]] -= 1
                            changes[stored, i] += 1
                        if i == final:
                            if arrival_step[t] < 0:
                                arrival_step[t], arrival_source[t] = step, active[t]
                            if absorbing:
                                t = later
                                continue
                        active[t] = i
                else:
                    project_out(rows, row, c_re, c_im, x, start, blocks)
                    norm[t] -= part
                    inverse[t] = 1.0 / norm[t]
                    outside = max(0.0, 1.0 - inside * inverse[t])
                    if i == ref or norm[t] < 0.5:
                        # another state dominates now; and a small rest is brought back to norm 1
                        whole = populations(columns, here, n, x, start, population, blocks)
                        for k in range(size):
                            x[start + k] /= np.sqrt(whole)
                        reference[t] = _dominant(population, n)
                        norm[t], inverse[t] = 1.0, 1.0
                        outside = max(0.0, 1.0 - population[reference[t]] / whole)
            quiet = step + 1
            if count < 2:
                ref = reference[t]
                most = min(1.0, (np.sqrt(outside) + leak[frame, ref]) ** 2)
                busy = _quiet_until(most, since, wait, clocks, bounds, ref, blocks)
                farthest = float(step + min(ahead, lap - frame))
                quiet = max(quiet, int(np.ceil(min(busy, farthest) - SLACK)))
            slot = quiet & (CALENDAR - 1)
            following[t] = first[slot]
            first[slot] = t
            t = later
