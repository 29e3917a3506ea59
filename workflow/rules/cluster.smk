"""What every job asks for, from the cost model; and jobs that an earlier run left in SLURM.

On a cluster the partitions of the profile (slurm-partition-config) decide: a job that none holds is refused in the
dry run, a later try asks for more up to what there is, and stages take a GPU where some partition has one.
"""

import contextlib
import io

from snakemake.exceptions import ResourceValidationError

from n2amd.cost import stages
from n2amd.cost.data import (
    NOTHING,
    DataSize,
    size_of_dataset,
    size_of_densities,
    size_of_folders,
    size_of_frames_files,
)
from n2amd.cost.partitions import (
    Need,
    Partition,
    grown,
    offers_gpu,
    read_partitions,
    require_fit,
    share_of_gpu,
    spread_over_tries,
)

# jobs inherit it: every Snakemake of a run, the one that submits and those inside jobs, sees the same partitions
PARTITIONS_VARIABLE = "N2AMD_SLURM_PARTITIONS"


def note_cluster():
    """Put into the environment whether jobs go to SLURM, and the file that lists its partitions.

    A workflow is not told which executor a dry run stands for, nor its options; the command line and the profile are.
    """
    if not workflow.is_main_process:
        return
    os.environ.pop(PARTITIONS_VARIABLE, None)
    if "snakemake" not in Path(sys.argv[0]).parts[-2:] and "snakemake" != Path(sys.argv[0]).stem:
        return
    from snakemake.cli import parse_args

    with contextlib.redirect_stderr(io.StringIO()):
        _, options = parse_args(sys.argv[1:])
    if options.executor == "slurm":
        file = getattr(options, "slurm_partition_config", None)
        file = file if isinstance(file, (str, Path)) else os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
        os.environ[PARTITIONS_VARIABLE] = str(Path(file).resolve()) if file else ""


note_cluster()
ON_SLURM = PARTITIONS_VARIABLE in os.environ
PARTITIONS_FILE = Path(os.environ[PARTITIONS_VARIABLE]) if os.environ.get(PARTITIONS_VARIABLE) else None
try:
    PARTITIONS = read_partitions(PARTITIONS_FILE) if PARTITIONS_FILE else ()
except InputError as error:
    refuse(str(error))


def memory_of_gpu():
    """Return the memory that shards on this machine's GPU share, MB, None without one: the profile's, or all of it."""
    if ON_SLURM or not workflow.is_main_process or not has_gpu():
        return None
    if "gpu_mem_mb" in workflow.global_resources:
        return getattr(
            workflow.global_resources["gpu_mem_mb"], "value", workflow.global_resources["gpu_mem_mb"]
        )
    ask = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    told = subprocess.run(ask, text=True, capture_output=True, check=False).stdout.split()
    return int(told[0]) if told and told[0].isdecimal() else None


GPU_MB = memory_of_gpu()
if GPU_MB is not None:
    workflow.register_resource("gpu_mem_mb", GPU_MB)
HERE = () if GPU_MB is None else (Partition("this machine", gpus=1, device_MB=GPU_MB),)


def takes_gpu(name, wildcards):
    """Whether a stage's job gets a GPU: one of this machine, or one of a partition that is listed."""
    chosen = section(name, wildcards)
    if chosen.device == "cpu":
        return False
    if not ON_SLURM:
        return has_gpu()
    orbitals = orbitals_of_supercell(wildcards) if name == "states" else 0
    return chosen.device == "cuda" or (offers_gpu(PARTITIONS) and stages.gpu_helps(chosen, orbitals))


def cell_of(wildcards, supercell):
    """Return the number of atoms of a supercell."""
    return len(elements(JOB.materials[wildcards.material].structure)) * math.prod(parse_supercell(supercell))


def orbitals_per_atom(wildcards):
    """Return the orbitals of an atom: those of the data once they are read."""
    functional = getattr(wildcards, "functional", None) or parent(wildcards.variant)
    gate = JOB.results / wildcards.material / functional / "dataset.json"
    known = orbitals_of_elements(gate, gate.stat().st_mtime_ns) if gate.exists() else {}
    symbols = elements(JOB.materials[wildcards.material].structure)
    return sum(known.get(symbol, USUAL_ORBITALS) for symbol in symbols) / len(symbols)


def orbitals_of_supercell(wildcards):
    """Return the orbitals of a job's supercell."""
    return cell_of(wildcards, wildcards.supercell) * orbitals_per_atom(wildcards)


@functools.cache
def data_as_given(material, functional):
    """Return the size of the frames of a functional before they are read."""
    given = JOB.materials[material].functionals[functional]
    if given.rebuilt:
        return size_of_densities(given.rebuilt.densities) or NOTHING
    if given.engine is None:
        return size_of_folders(given.paths)
    if given.structures.file is not None:
        return size_of_frames_files([given.structures.file])
    atoms = cell_of(SimpleNamespace(material=material), given.structures.supercell)
    return DataSize(given.structures.frames, given.structures.frames * atoms, atoms)


@functools.cache
def data_as_read(dataset, written):
    """Return the size of an ingested data set, as written at a time."""
    return size_of_dataset(dataset)


def data_of(wildcards):
    """Return the size of a functional's frames: exact once they are read; rounds of active learning add few."""
    dataset = JOB.results / wildcards.material / wildcards.functional / "dataset.h5"
    read = data_as_read(dataset, dataset.stat().st_mtime_ns) if dataset.exists() else None
    return read or data_as_given(wildcards.material, wildcards.functional)


def orbitals_of_data(wildcards):
    """Return the orbitals of the largest frame."""
    return max(1, data_of(wildcards).largest) * orbitals_per_atom(wildcards)


def dft_trajectory(wildcards):
    """Return the size of the consecutive DFT frames."""
    return size_of_folders(source(wildcards).trajectory_paths)


def forces_of(wildcards):
    """Return the size of everything that the force field learns from."""
    return data_of(wildcards) + size_of_frames_files(source(wildcards).forcefield_paths)


def computed_by_engine(wildcards, threads):
    """Return the request of a chunk of DFT, or of a round's labels."""
    given = source(wildcards)
    chunk = "chunk" in wildcards.keys()
    frames = given.structures.frames_per_chunk if chunk else given.active_learning.frames
    atoms = data_of(wildcards).largest if chunk else candidates_of(wildcards)
    return stages.dft(frames, atoms, threads, hybrid=given.engine.functional == "HSE06")


def candidates_of(wildcards):
    """Return the atoms of the supercell that active learning chooses frames of."""
    return cell_of(wildcards, source(wildcards).active_learning.supercell or JOB.supercells[0])


def ranks_of_dynamics():
    """Return the MPI ranks that the profile gives to surface hopping."""
    asked = workflow.resource_settings.overwrite_resources.get("run_dynamics", {})
    tasks = asked["tasks"] if "tasks" in asked else 1
    tasks = getattr(tasks, "value", tasks)
    return tasks if isinstance(tasks, int) else 1


def shard(wildcards, threads):
    """Return the request of a shard of states."""
    cost = cost_of_shard(wildcards)
    return stages.Request(cost.minutes, cost.memory_MB, cost.device_MB)


def analysed(wildcards, threads):
    """Return the request of a job that reads couplings or what came of them; several cases: the largest."""
    named = [wildcards.material] if "material" in wildcards.keys() else list(JOB.materials)
    requests = [
        stages.analysis(
            section_of("analysis", m), section_of("trajectory", m).frames, section_of("states", m)
        )
        for m in named
    ]
    return stages.Request(max(r.minutes for r in requests), max(r.memory_MB for r in requests))


# the codes whose output holds what H0 is made of
WITH_INGREDIENTS = {"siesta", "honpas", "openmx", "cp2k", "pyscf"}

# by rule; `analysed` where a rule is not named
REQUESTS = {
    "ingest_dataset": lambda w, threads: (
        stages.self_consistent(data_of(w).frames, data_of(w).largest, orbitals_of_data(w), threads)
        if source(w).rebuilt
        else stages.ingestion(data_of(w), threads)
    ),
    "ingest_dft_trajectory": lambda w, threads: stages.ingestion(dft_trajectory(w), threads),
    "fit_overlap": lambda w, threads: stages.overlap_fit(data_of(w)),
    "add_labels": lambda w, threads: stages.overlap_fit(data_of(w)),
    "run_dft": computed_by_engine,
    "train_forcefield": lambda w, threads: stages.forcefield_training(section("forcefield", w), forces_of(w)),
    "train_hamiltonian": lambda w, threads: stages.hamiltonian_training(
        section("hamiltonian", w),
        data_of(w),
        orbitals_of_data(w),
        knows_density=source(w).written_by in WITH_INGREDIENTS,
    ),
    "evaluate_hamiltonian": lambda w, threads: stages.evaluation(
        data_of(w), orbitals_of_data(w), held_out=section("hamiltonian", w).test_fraction
    ),
    "judge_choice": lambda w, threads: stages.evaluation(
        DataSize(source(w).active_learning.frames, 0, candidates_of(w)),
        candidates_of(w) * orbitals_per_atom(w),
        held_out=1.0,
    ),
    "band_structure": lambda w, threads: stages.evaluation(
        data_of(w), orbitals_of_data(w), held_out=0.0, points=100
    ),
    "coupling_parity": lambda w, threads: stages.evaluation(
        dft_trajectory(w), dft_trajectory(w).largest * orbitals_per_atom(w), held_out=1.0
    ),
    "run_trajectory": lambda w, threads: stages.trajectory(
        section("trajectory", w), section("forcefield", w), cell_of(w, w.supercell)
    ),
    "compare_phonons": lambda w, threads: stages.phonons(
        section("trajectory", w).frames, cell_of(w, w.supercell), fits=bool(labelled_frames(w))
    ),
    "select_frames": lambda w, threads: stages.selection(
        source(w).active_learning.candidates,
        candidates_of(w),
        candidates_of(w) * orbitals_per_atom(w),
    ),
    "label_by_scf": lambda w, threads: stages.self_consistent(
        source(w).active_learning.frames,
        candidates_of(w),
        candidates_of(w) * orbitals_per_atom(w),
        threads,
    ),
    "solve_states": shard,
    "assemble_couplings": lambda w, threads: stages.assembly(
        section("trajectory", w).frames, cell_of(w, w.supercell), section("states", w)
    ),
    "run_dynamics": lambda w, threads: stages.dynamics(
        section("dynamics", w),
        section("trajectory", w).frames,
        section("trajectory", w).timestep_fs,
        section("states", w),
        ranks_of_dynamics(),
    ),
}

# the stage whose setting `device` decides about a rule's GPU
GPU_OF = {
    "train_forcefield": "forcefield",
    "train_hamiltonian": "hamiltonian",
    "run_trajectory": "forcefield",
    "solve_states": "states",
}


# jobs that differ in nothing else ask for the same
ALIKE = {"shard", "chunk", "seed", "method", "round"}
NEEDS = {}


def need(rule, wildcards, threads, attempt):
    """Return what a try of a job asks for, worked out once for all that are alike; refuse what no partition holds."""
    named = tuple((name, "" if name in ALIKE else label) for name, label in wildcards.items())
    key = (rule, named, threads, attempt, *data_read_so_far(wildcards))
    if key not in NEEDS:
        try:
            NEEDS[key] = worked_out(rule, wildcards, threads, attempt)
        except InputError as error:
            # the one kind of error that Snakemake shows without lines of the workflow's files
            raise ResourceValidationError(str(error)) from None
    return NEEDS[key]


def data_read_so_far(wildcards):
    """Return when the data that a request is made of were read, None for what is not read."""
    labels = dict(wildcards.items())
    if "material" not in labels:
        return []
    functional = labels.get("functional") or parent(labels.get("variant", ""))
    folder = f"{JOB.results}/{labels['material']}/{functional}"
    return [written(f"{folder}/{name}") for name in ("dataset.json", "dataset.h5")]


def written(file):
    """Return the time of a file; None: there is none."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None


def worked_out(rule, wildcards, threads, attempt):
    """Return what a try of a job asks for; refuse what no partition holds."""
    asked = REQUESTS.get(rule, analysed)(wildcards, threads)
    gpu = gpus(rule)(wildcards) if rule in GPU_OF else 0
    first = Need(asked.minutes, asked.memory_MB, threads, gpu, asked.device_MB)
    # a mere drawing of the graph (--rulegraph) executes nothing, and has no settings of it
    if workflow.is_main_process and workflow.execution_settings is not None:
        first = spread_over_tries(PARTITIONS, first, 1 + workflow.execution_settings.retries)
        require_fit(PARTITIONS or HERE, first, " ".join([rule, *map(str, wildcards)]), PARTITIONS_FILE)
    return grown(PARTITIONS, first, attempt)


def memory(rule):
    """Return the resources function for the memory of a rule, MB."""
    return lambda wildcards, threads, attempt: need(rule, wildcards, threads, attempt).memory_MB


def minutes(rule):
    """Return the resources function for the time of a rule, minutes."""
    return lambda wildcards, threads, attempt: need(rule, wildcards, threads, attempt).minutes


def gpus(rule):
    """Return the resources function for the GPUs of a rule.

    On one machine the count keeps two jobs from sharing a device; shards may, as far as its memory goes.
    """
    return lambda wildcards: int(takes_gpu(GPU_OF[rule], wildcards))


def gpu_of_shard():
    """Return the resources of a shard that are of a GPU: one of its own, or a part of one where they are shared.

    A cluster shares GPUs in SLURM's `gres/shard`, of which the executor knows nothing: it is told the partition. On
    one machine the memory counts.
    """

    def share(wildcards, threads, attempt):
        return share_of_gpu(PARTITIONS, need("solve_states", wildcards, threads, attempt), attempt)

    def whole(wildcards, threads, attempt):
        return 0 if share(wildcards, threads, attempt) else gpus("solve_states")(wildcards)

    def shards(wildcards, threads, attempt):
        part = share(wildcards, threads, attempt)
        return f"shard:{part.shards}" if part else ""

    def partition(wildcards, threads, attempt):
        part = share(wildcards, threads, attempt)
        return part.partition if part else ""

    def megabytes(wildcards, threads, attempt):
        return need("solve_states", wildcards, threads, attempt).device_MB

    if not ON_SLURM:
        return {"gpu_mem_mb": megabytes} if has_gpu() else {}
    if any(partition.shards > 1 for partition in PARTITIONS):
        return {"gpu": whole, "gres": shards, "slurm_partition": partition}
    return {"gpu": gpus("solve_states")}


def hold_jobs_against_queue():
    """Refuse to submit what an earlier, killed run of this folder has in the queue; and what would lose jobs."""
    from n2amd.errors import ComputationError
    from n2amd.slurm import describe, leave_cancelled_jobs, queued_jobs

    plugin = workflow.executor_plugin
    on_slurm = plugin is not None and plugin.name == "slurm"
    if on_slurm:
        if workflow.executor_settings.array_jobs or workflow.group_settings.overwrite_groups:
            refuse(
                "slurm-array-jobs and groups are set: where one job of an array or group fails, finished files of the "
                "others are deleted, and arrays lose jobs; take both out of the profile and of the command line"
            )
        from snakemake_executor_plugin_slurm import Executor

        leave_cancelled_jobs(Executor)
    elif shutil.which("squeue") is None:
        return
    try:
        left = queued_jobs(Path.cwd())
    except ComputationError as error:
        if on_slurm:
            refuse(str(error))
        return
    if left:
        refuse(
            f"SLURM still has {describe(left)}; they would write the same files as new ones: wait for them with "
            "`n2amd cluster wait`, which keeps what they finish, or end them with `n2amd cluster cancel`, then start again"
        )
