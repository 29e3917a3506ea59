"""The checked configuration, and the few functions that every stage's rules use."""

import fcntl
import functools
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ase.data import chemical_symbols
from snakemake.dag import DAG
from snakemake.logging import logger

import n2amd
from n2amd.config.job import validate
from n2amd.config.section import parse_supercell
from n2amd.config.sections import SECTIONS
from n2amd.config.yaml import read_yaml
from n2amd.cost import USUAL_ORBITALS, estimate_shard
from n2amd.errors import InputError
from n2amd.interop.structures import read_structure
from n2amd.sources import Sources
from n2amd.states.parts import parts_of_trajectory


def refuse(sentence):
    """End this Snakemake with a sentence; an exception would have lines of the workflow's files behind it."""
    logger.error(sentence)
    sys.exit(1)


try:
    for file in workflow.configfiles:
        read_yaml(file)  # Snakemake takes the last of two equal keys without a word
    JOB = validate(
        {key: value for key, value in config.items() if key != "pathvars"},
        workflow.configfiles[-1] if workflow.configfiles else None,
    )
except InputError as error:
    refuse(str(error))


pathvars:
    results=str(JOB.results),
    logs=str(JOB.results / "logs"),
    benchmarks=str(JOB.results / "benchmarks"),


# Snakemake sets OMP_NUM_THREADS and its like to the threads of the job, but does not know numba.
shell.prefix("export NUMBA_NUM_THREADS=$OMP_NUM_THREADS; ")


def one_thread(wildcards, output):
    """Return the environment of commands that cut their work into processes of their own, or are slower with threads.

    OpenBLAS looks at its own variable before OMP_NUM_THREADS. Params of outputs are not compared: nothing runs again.
    """
    return "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1"


# Snakemake does not see a change inside an imported package: rules have a hash of the code behind their command.
# What the sources import is kept between runs, so that they need not be read again.
SOURCES = Sources(Path(n2amd.__file__).parent, kept=Path(".snakemake/n2amd_sources.json"))


def alternatives(labels):
    """Return the regular expression that matches just these labels."""
    return "|".join(map(re.escape, sorted(set(labels))))


def scissors(material, functional):
    """Return the scissor variants of a functional, by name of the variant."""
    source = JOB.materials[material].functionals[functional]
    return {f"{functional}+{scissor.label}": scissor for scissor in source.scissors}


def variants(material):
    """Return the names of everything that dynamics runs on: each functional and its scissor variants."""
    return [
        name
        for functional in JOB.materials[material].functionals
        for name in (functional, *scissors(material, functional))
    ]


def parent(variant):
    """Return the functional whose couplings a variant shares."""
    return variant.split("+")[0]


def candidate_supercells(material):
    """Return the supercells whose trajectories active learning chooses from."""
    sources = JOB.materials[material].functionals.values()
    wanted = [s.active_learning.supercell for s in sources if s.active_learning.rounds]
    return [supercell or JOB.supercells[0] for supercell in wanted]


wildcard_constraints:
    material=alternatives(JOB.materials),
    functional=alternatives(label for m in JOB.materials.values() for label in m.functionals),
    variant=alternatives(name for material in JOB.materials for name in variants(material)),
    supercell=alternatives([*JOB.supercells, *(s for m in JOB.materials for s in candidate_supercells(m))]),
    method="[a-z_]+",
    shard=r"\d+-\d+",
    chunk=r"\d+-\d+",
    seed=r"\d+",
    round=r"[1-9]\d*",


@functools.cache
def section_of(name, material, label=None):
    """Return a stage's settings for a material, and for one of its functionals."""
    return JOB.section(name, material, label)


def section(name, wildcards):
    """Return a stage's settings for the material and functional of a job."""
    return section_of(name, wildcards.material, label_of(wildcards))


def label_of(wildcards):
    """Return the functional of a job; None where it is of none, or of all."""
    named = dict(wildcards.items()) if hasattr(wildcards, "items") else vars(wildcards)
    return named.get("functional") or (parent(named["variant"]) if "variant" in named else None)


def settings(name, omit=(), only=None):
    """Return the params function that gives a stage's own settings as JSON.

    A job sees nothing but its own section with its material's overrides, so a change elsewhere does not rerun it.
    `omit` leaves out what the job gets as an option of its own or does not use, `only` all but what it names.

    No job is run again for what this returns: Snakemake does not compare params that are made of outputs, of
    which this says that it was. What is compared is `effect`, which every rule with settings has beside it.
    """
    dropped = dropped_options(name, omit, only)

    @functools.cache
    def of_material(material, label):
        return section_of(name, material, label).model_dump_json(exclude=dropped)

    return lambda wildcards, output: of_material(wildcards.material, label_of(wildcards))


def effect(name, omit=(), only=None):
    """Return the params function that gives those of a stage's settings that its result depends on, as JSON.

    The device is among them only where there is a GPU that it could choose.
    """
    dropped = dropped_options(name, omit, only)

    @functools.cache
    def of_material(material, label):
        return json.dumps(effective_options(section_of(name, material, label), dropped), sort_keys=True)

    return lambda wildcards: of_material(wildcards.material, label_of(wildcards))


def dropped_options(name, omit, only):
    """Return the options that a rule does not use."""
    return set(omit) if only is None else set(SECTIONS[name].model_fields) - set(only)


def effective_options(chosen, dropped=()):
    """Return the options of a section that change a result on this machine."""
    found = chosen.effective(dropped)
    if "device" in found:
        found["device"] = "gpu" if may_use_gpu(chosen) else "cpu"
    return found


def may_use_gpu(chosen):
    """Whether the settings and this machine allow a GPU."""
    return chosen.device != "cpu" and has_gpu()


@functools.cache
def has_gpu():
    """Whether this machine has one."""
    return shutil.which("nvidia-smi") is not None


def source(wildcards):
    """Return the DFT data source of a job."""
    return JOB.materials[wildcards.material].functionals[wildcards.functional]


def reader_code(wildcards):
    """Return a hash of the reader; two codes that write the same files share one."""
    dft = source(wildcards).written_by
    folder = "dft/siesta" if dft == "honpas" else f"dft/{dft}"
    return code(folder)


def chunks(wildcards):
    """Return the chunks that an engine computes, FIRST-LAST: static, so that a dry run shows every job."""
    wanted = source(wildcards).structures
    size = wanted.frames_per_chunk
    firsts = range(0, wanted.frames if source(wildcards).engine else 0, size)
    return [f"{first:04d}-{first + size - 1:04d}" for first in firsts]


def chunk_frames(wildcards):
    """Return the options that name the structures of a chunk."""
    first, last = map(int, wildcards.chunk.split("-"))
    return f"--first {first} --last {last}"


def structures_of_chunk(wildcards):
    """Return the file with the structures of a chunk: the one the user gave, or one that is made."""
    given = source(wildcards).structures.file
    return given or expand("<results>/{material}/{functional}/dft/{chunk}.extxyz", **wildcards)


def frames_of_chunk(wildcards, chunk):
    """Return the folder of a chunk's frames."""
    return str(JOB.results / wildcards.material / wildcards.functional / "dft" / chunk)


def dft_reports(wildcards):
    """Return the reports of all chunks."""
    return [f"{frames_of_chunk(wildcards, chunk)}.json" for chunk in chunks(wildcards)]


def dft_folders(wildcards):
    """Return the folders of frames that a data set is made of: given, or computed."""
    given = source(wildcards).paths
    return [*map(str, given), *(frames_of_chunk(wildcards, chunk) for chunk in chunks(wildcards))]


def frames_to_read(wildcards):
    """Return the files that a functional's frames are read from, none where an engine computes them."""
    given = source(wildcards)
    return [given.rebuilt.densities] if given.rebuilt else ([] if given.engine else given.paths)


def data_set_like(wildcards):
    """Return the data set whose basis and k spacing rebuilt frames have."""
    kept = source(wildcards).rebuilt
    return [f"<results>/{kept.material}/{kept.functional}/dataset.h5"] if kept else []


def how_to_read(wildcards, input, threads):
    """Return the command that makes a data set: of DFT output, or of frames kept as densities."""
    given = source(wildcards)
    if given.rebuilt:
        files = f"{shlex.quote(str(input.frames))} --like {shlex.quote(str(input.like))}"
        return f"rebuild {files} --functional {wildcards.functional}"
    options = f"{given_to_ingestion(wildcards)} {chosen_for_ingestion(wildcards)}"
    return ingestion(wildcards, threads, dft_folders(wildcards), options)


def how_to_read_labels(wildcards, input, threads):
    """Return the command that makes a data set of a round's labels, of all structures that were to be computed."""
    options = f"{given_to_ingestion(wildcards)} --expect {shlex.quote(str(input.structures))}"
    return ingestion(wildcards, threads, [folder_of_labels(wildcards)], options)


def ingestion(wildcards, threads, folders, options):
    """Return the command that reads folders of DFT output."""
    listed = " ".join(map(shlex.quote, folders))
    reader = source(wildcards).written_by
    return f"ingest --jobs {threads} --code {reader} {listed} --functional {wildcards.functional} {options}"


def code_of_rebuilding(wildcards):
    """Return a hash of the code that makes frames of densities, where a functional's are."""
    return code("commands/dataset_rebuild.py:rebuild") if source(wildcards).rebuilt else ""


def given_to_ingestion(wildcards):
    """Return what the config says of frames beyond what their files say."""
    given = source(wildcards)
    options = ["--without-bands"] if given.without_bands else []
    if given.electrons is not None:
        options += ["--electrons", f"{given.electrons:g}"]
    return " ".join(options)


def overlap_fit(wildcards):
    """Return the file of recovered radial functions, where the DFT data come without."""
    fitted = f"<results>/{wildcards.material}/{wildcards.functional}/overlap.json"
    return [fitted] if source(wildcards).fits_overlap else []


def of_model(name):
    """Return the input function that names a file of the last round of active learning, or of the data alone."""
    return lambda wildcards: after_rounds(name, wildcards, source(wildcards).active_learning.rounds)


def model_of_states(wildcards):
    """Return the path of the network that states are predicted with."""
    return of_model("hamiltonian.pt")(wildcards).replace("<results>", str(JOB.results))


def of_last_round(name):
    """Return the input function that names a file of the round before, the data alone before the first."""
    return lambda wildcards: after_rounds(name, wildcards, int(wildcards.round) - 1)


def after_rounds(name, wildcards, rounds):
    """Return the data set or the model after some rounds; the given data have their place at the top."""
    place = f"active_learning/round_{rounds}/" if rounds else ""
    return f"<results>/{wildcards.material}/{wildcards.functional}/{place}{name}"


def every_round(name, wildcards):
    """Return a file of each round of active learning."""
    rounds = source(wildcards).active_learning.rounds
    return [after_rounds(name, wildcards, number) for number in range(1, rounds + 1)]


def code(*roots):
    """Return a hash of the code that a command runs, a parameter of its rule: other code, another run."""
    return SOURCES.digest(*roots)


def several_processes(resources):
    """Return how a training is started: one process for each GPU that the job has."""
    count = resources.get("gpu", 0)
    if not isinstance(count, int) or count < 2:
        return "n2amd"
    return f"torchrun --standalone --nproc-per-node {count} -m n2amd.cli"


def scissor_option(wildcards):
    """Return the option that shifts the gap, or nothing where the variant is the functional itself."""
    scissor = scissors(wildcards.material, parent(wildcards.variant)).get(wildcards.variant)
    return ["--scissor", scissor.model_dump_json()] if scissor else []


def shards(wildcards, functional=None):
    """Return the shards of states: static, so that a dry run shows every job, and each of the same frames always."""
    frames = section("trajectory", wildcards).frames
    parts = parts_of_trajectory(frames, section("states", wildcards).frames_per_shard)
    folder = (
        f"<results>/{wildcards.material}/{wildcards.supercell}/{functional or wildcards.functional}/states"
    )
    return [f"{folder}/frames_{first:06d}-{last:06d}.h5" for first, last in parts]


def forcefield_of_material(wildcards):
    """Return the force field that a material's trajectories are run with."""
    owner, trained_on = JOB.forcefield_source(wildcards.material)
    return f"<results>/{owner}/{trained_on}/forcefield.model"


def description_of_states(wildcards):
    """Return the settings that states depend on, those of their frames included, as JSON."""
    couplings = section("couplings", wildcards)
    parts = {
        "trajectory": effective_options(section("trajectory", wildcards), ["frames"]),
        "states": effective_options(section("states", wildcards)),
        "overlap": couplings.overlap,
        "scheme": couplings.scheme,
    }
    return json.dumps(parts, sort_keys=True)


def accepted(wildcards):
    """Whether the trajectory that is there, if any, is within the limits of now.

    They change no trajectory, only whether one is refused: it is run again, which takes its frames from the
    restart folder and refuses them, only where the answer has changed.
    """
    path = JOB.results / wildcards.material / wildcards.supercell / "trajectory.h5"
    if not path.exists():
        return True
    # here, because it is slow to import and a job of a cluster reads this file too
    from n2amd.trajectory.health import still_accepted

    return still_accepted(path, section("trajectory", wildcards))


def cost_of_shard(wildcards):
    """Return what a shard of states asks for, by the supercell and, once the data are read, the basis."""
    gate = JOB.results / wildcards.material / wildcards.functional / "dataset.json"
    known = orbitals_of_elements(gate, gate.stat().st_mtime_ns) if gate.exists() else {}
    symbols = elements(JOB.materials[wildcards.material].structure)
    orbitals = sum(known.get(symbol, USUAL_ORBITALS) for symbol in symbols)
    repeats = math.prod(parse_supercell(wildcards.supercell))
    trajectory = section("trajectory", wildcards)
    chosen = section("states", wildcards)
    on_gpu = takes_gpu("states", wildcards)
    analytic = section("couplings", wildcards).scheme == "analytic"
    return estimate_shard(
        repeats * len(symbols),
        repeats * orbitals,
        trajectory.frames,
        chosen,
        on_gpu=on_gpu,
        analytic=analytic,
        timestep_fs=trajectory.timestep_fs,
    )


@functools.cache
def orbitals_of_elements(gate, written):
    """Return the orbitals of each element, as the gate's report of a time has them; nothing of an older one."""
    try:
        return json.loads(gate.read_text()).get("orbitals", {})
    except (OSError, ValueError):
        return {}


@functools.cache
def elements(structure):
    """Return the elements of a structure's atoms."""
    return [chemical_symbols[number] for number in read_structure(structure).numbers]


def dynamics_of_variant(wildcards):
    """Return the dynamics of every method and seed."""
    wanted = section("dynamics", wildcards)
    return expand(
        "<results>/{material}/{supercell}/{variant}/dynamics/{method}_seed{seed}.h5",
        method=wanted.methods,
        seed=wanted.seeds,
        material=wildcards.material,
        supercell=wildcards.supercell,
        variant=wildcards.variant,
    )


def of_parent(pattern):
    """Return the input function that fills `{functional}` with the functional whose couplings a variant shares."""
    return lambda wildcards: expand(pattern, functional=parent(wildcards.variant), **wildcards)


def pristine_couplings(wildcards):
    """Return the couplings of the cell without the defect, if one is named to compare with."""
    other = JOB.materials[wildcards.material].pristine
    if other is None:
        return []
    known, own = list(JOB.materials[other.material].functionals), parent(wildcards.variant)
    label = other.functional or (own if own in known else known[0])
    return [f"<results>/{other.material}/{other.supercell}/{label}/couplings.h5"]


def populations_and_lifetime(wildcards):
    """Return what the figure of the populations is drawn from."""
    lifetime = expand("<results>/{material}/{supercell}/{variant}/analysis/lifetime.json", **wildcards)
    return dynamics_of_variant(wildcards) + lifetime


# where a round of active learning has its files
ROUND = "{material}/{functional}/active_learning/round_{round}"


def folder_of_labels(wildcards):
    """Return the folder of a round's DFT output: the engine's, or the one that the user is asked to fill."""
    name = "dft" if source(wildcards).labelled_by == "engine" else "computed"
    return str(JOB.results / ROUND.format(**wildcards) / name)


def tell_what_waits():
    """Repeat at the end of a run which structures wait for labels, where a reader does not look for it above."""
    for log in sorted((JOB.results / "logs").glob("*/*/active_learning/round_*/ingest_labels.log")):
        lines = log.read_text().splitlines()
        if lines and lines[-1].startswith("error: "):
            logger.error(lines[-1].removeprefix("error: "))


def data_sets(wildcards):
    """Return all data sets of a functional: the given data, the labels of each round, all that was learned from."""
    added = [*every_round(labels_name(wildcards), wildcards), *every_round("dataset.h5", wildcards)[-1:]]
    return [after_rounds("dataset.h5", wildcards, 0), *added]


def labels_name(wildcards):
    """Return the name of the data set of a round's labels."""
    return "scf.h5" if source(wildcards).labelled_by == "scf" else "ingested.h5"


def files_of_case(wildcards):
    """Return the files of one case by name; couplings of DFT's own matrices only where there are such frames."""
    material = JOB.materials[wildcards.material]
    functional = parent(wildcards.variant)
    owner, trained_on = JOB.forcefield_source(wildcards.material)
    learned_from = dict.fromkeys([(wildcards.material, functional), (owner, trained_on)])
    model = f"<results>/{wildcards.material}"
    states = f"<results>/{wildcards.material}/{wildcards.supercell}/{functional}"
    files = {
        "datasets": [
            path
            for name, label in learned_from
            for path in data_sets(SimpleNamespace(material=name, functional=label))
        ],
        "forcefield": f"<results>/{owner}/{trained_on}/forcefield.json",
        "hamiltonian": f"{model}/{functional}/hamiltonian.json",
        "trajectory": f"{model}/{wildcards.supercell}/trajectory.h5",
        "couplings": f"{states}/couplings.h5",
        "dephasing": f"{states}/dephasing.json",
        "lifetime": f"<results>/{wildcards.material}/{wildcards.supercell}/{wildcards.variant}/analysis/lifetime.json",
    }
    if material.functionals[functional].trajectory_paths:
        files["parity"] = f"{model}/{functional}/nac_parity.json"
    if section_of("states", wildcards.material).defect is not None:
        files["rates"] = (
            f"<results>/{wildcards.material}/{wildcards.supercell}/{wildcards.variant}/analysis/rates.json"
        )
    if section_of("states", wildcards.material).spin_orbit == "spin_states":
        files["spin_flips"] = (
            f"<results>/{wildcards.material}/{wildcards.supercell}/{wildcards.variant}/analysis/spin_flips.json"
        )
    return files


def parts_of_case(wildcards):
    """Return the shards of states and the populations of a case, whose false states, seeds and CPU time it sums up.

    They are no inputs of their own, because couplings and lifetime are made of them: a sweep has many, and Snakemake
    takes a third of a millisecond for each in every rule that lists it.
    """
    listed = [*shards(wildcards, parent(wildcards.variant)), *dynamics_of_variant(wildcards)]
    return [path.replace("<results>", str(JOB.results)) for path in listed]


def notice_deleted_files():
    """Let what is deleted behind a finished file be made again, and what is made of it, whatever target is asked for.

    Snakemake alone is content with a finished file that is newer than what is there of its inputs. Files that a killed
    job left incomplete it makes anew before it looks; what a finished file was made of and is gone is put among those.
    """
    look_for_incomplete = DAG.check_incomplete

    async def look_for_deleted_too(dag):
        await look_for_incomplete(dag)
        if not workflow.is_main_process:
            return  # the part of the graph that a job of a cluster sees
        for job in dag.jobs:
            users = (user for user in dag.depending[job] if user.output)
            if not are_there(job.output) and any(are_there(user.output) for user in users):
                dag.forcefiles.update(job.output)

    DAG.check_incomplete = look_for_deleted_too


def are_there(files):
    """Whether all files exist."""
    return all(map(os.path.exists, files))


def every_case(pattern):
    """Return a path for each material, supercell and variant."""
    return [
        path
        for material in JOB.materials
        for path in expand(
            pattern,
            material=material,
            supercell=JOB.supercells,
            variant=variants(material),
        )
    ]


def labelled_frames(w):
    """Return the files with DFT forces beside the data set of the functional that the trajectory follows."""
    owner, trained_on = JOB.forcefield_source(w.material)
    source = JOB.materials[owner].functionals[trained_on]
    return [*source.forcefield_paths, *source.forcefield_test_paths]


def every_figure():
    """Return all figures of the job."""
    figures = []
    for name, material in JOB.materials.items():
        for label, source in material.functionals.items():
            wanted = ["hamiltonian", "bands"]
            if material.trains_forcefield(label):
                wanted += ["forcefield-energy", "forcefield-force"]
            if source.trajectory_paths:
                wanted += ["nac-parity", "population-parity"]
            if source.active_learning.rounds:
                wanted.append("doubt")
            figures += [f"<results>/{name}/{label}/figures/{what}.svg" for what in wanted]
        for supercell in JOB.supercells:
            figures.append(f"<results>/{name}/{supercell}/figures/phonons.svg")
            for variant in variants(name):
                wanted = ["populations", "lifetime-tau"]
                # a scissor variant shares these with its functional
                if variant == parent(variant):
                    wanted += ["gap-and-coupling", "dephasing", "spectral-density"]
                    if section_of("states", name).weights_of != "none":
                        wanted.append("character")
                if section_of("states", name).defect is not None:
                    wanted.append("defect")
                figures += [f"<results>/{name}/{supercell}/{variant}/figures/{what}.svg" for what in wanted]
    if len(JOB.supercells) > 1:
        figures.append("<results>/figures/scaling.svg")
    return figures


def hold_run_lock():
    """Mark this folder as in use for as long as this process lives; `make run` unlocks only what no process holds."""
    global run_lock
    run_lock = open(".snakemake/run.lock", "w")
    try:
        fcntl.flock(run_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse("another run is active in this folder; wait for it or stop it")


def hold_data_against_job():
    """Refuse, before anything is computed, DFT data that a later stage of the job would refuse."""
    whole = Path(".snakemake/job.yaml")  # the default job, files and options of the command line laid over it
    whole.write_text(JOB.model_dump_json())
    checked = subprocess.run(["n2amd", "config", "check", str(whole)], capture_output=True, text=True)
    if checked.returncode:
        refuse(checked.stderr.strip() or checked.stdout.strip())
    for line in checked.stderr.splitlines():
        if line.startswith("warning: "):
            logger.warning(line.removeprefix("warning: "))


def show_progress():
    """Let the jobs tell this terminal how far they are; their output goes to logs."""
    from n2amd.progress_terminal import start

    start(logger, JOB.results, Path(".snakemake/n2amd_progress"))


def chosen_for_ingestion(wildcards):
    """Return the options that say which of the given frames a data set is made of, and how their forces are taken."""
    given = source(wildcards)
    options = [word for name in given.exclude for word in ("--exclude", shlex.quote(name))]
    options += ["--near-duplicates", "skip"] if given.near_duplicates == "skip" else []
    return " ".join([*options, *grid_cell_sampling(wildcards)])


def grid_cell_sampling(wildcards):
    """Return the option that takes forces as means over places of the mesh, where that is asked for."""
    places = source(wildcards).grid_cell_sampling
    return [f"--grid-cell-sampling {places}"] if places > 1 else []
