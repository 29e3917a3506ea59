"""From a data set to a file of densities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dataset.store import read_attributes, read_basis, read_frames, read_ingredients, read_structures
from n2amd.errors import InputError, within
from n2amd.network.cells import geometry_hash
from n2amd.network.density_data import choose_model, fit_frame, without_means
from n2amd.network.presets import PRESETS
from n2amd.network.stored_densities import read_densities, store, write_densities


def densities_of(
    dataset: Path,
    out: Path,
    functions_of: Path | None,
    without: Path | None,
    report: Callable[[int, int], None],
) -> int:
    """Write the densities of a data set's frames; returns how many.

    Parameters
    ----------
    dataset
        `dataset.h5` with the ingredients of H0.
    out
        File to write.
    functions_of
        File whose density functions are to be used; None: chosen on the frames.
    without
        Data set whose frames are left out.
    report
        Told of how many frames how many are done.

    Raises
    ------
    InputError
        If the data set lacks ingredients, or no frame is left.
    """
    torch.set_num_threads(1)
    basis, ingredients = read_basis(dataset), read_ingredients(dataset)
    if ingredients is None:
        raise InputError(
            "the data set has no ingredients of H0",
            file=dataset,
            field="ingredients",
            remedy="ingest the frames again with the code's pseudopotential files",
        )
    known = {geometry_hash(s) for s in read_structures(without)} if without else set()
    chosen = [k for k, s in enumerate(read_structures(dataset)) if geometry_hash(s) not in known]
    if not chosen:
        raise InputError("no frame is left", file=dataset, remedy="pass a data set with other frames")
    if functions_of is None:
        with within(dataset):
            model = choose_model(list(read_frames(dataset, chosen)), basis, ingredients)
    else:
        model = without_means(read_densities(functions_of, basis, ingredients).auxiliary)
    zeroth = ZerothHamiltonian(basis, ingredients, model)
    cutoff = PRESETS["quick"].density.message_cutoff_A
    lacking = read_attributes(dataset).get("h0") is not None
    fitted = (
        fit_frame(frame, zeroth, cutoff, beside_pairs=lacking) for frame in read_frames(dataset, chosen)
    )
    with within(dataset):
        frames = store(fitted, model.auxiliary, lambda done: report(done, len(chosen)))
    inputs = [path for path in (dataset, functions_of, without) if path is not None]
    write_densities(out, frames, model.auxiliary, basis, ingredients, inputs)
    return len(frames)
