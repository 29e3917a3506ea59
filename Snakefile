"""From DFT frames to carrier lifetimes: the whole graph.

    snakemake --profile profiles/local                                   # the default job, config/config.yaml
    snakemake --profile profiles/slurm --configfile config/my-job.yaml   # another job, on a cluster

`make run` does the same and sets up the environment first. The science is in the package `n2amd`; a rule only
says which command makes which file.
"""

from snakemake.utils import min_version

min_version("9.27")


# The image of every rule, used with `--software-deployment-method apptainer`; envs/n2amd.def says how it is built.
container: "n2amd.sif"


# A configuration given with --configfile replaces the default one; it is not merged into it.
if "materials" not in config:

    configfile: "config/config.yaml"


include: "workflow/rules/spare.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/dft.smk"
include: "workflow/rules/forcefield.smk"
include: "workflow/rules/hamiltonian.smk"
include: "workflow/rules/trajectory.smk"
include: "workflow/rules/learning.smk"
include: "workflow/rules/states.smk"
include: "workflow/rules/couplings.smk"
include: "workflow/rules/dynamics.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/withheld.smk"


SOURCES.keep()
spare_searches()
spare_signatures()
spare_commands()
notice_deleted_files()


rule all:
    default_target: True
    input:
        summary="<results>/summary.json",
        figures=every_figure(),


onstart:
    hold_run_lock()
    hold_jobs_against_queue()
    hold_data_against_job()
    show_progress()


onerror:
    tell_what_waits()
    sum_up_finished_cases()
