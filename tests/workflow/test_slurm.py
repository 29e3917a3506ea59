"""profiles/slurm on a real SLURM: one node, all daemons on loopback, started and ended here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from workflow_project import Project

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

# no cgroups, no accounting; more CPUs than the machine may have: jobs are counted here and not timed
SLURM_CONF = """
ClusterName=n2amd
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SrunPortRange={ports[2]}-{ports[3]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
MpiDefault=pmi2
ReturnToService=2
MinJobAge=600
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=4000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=60 DefMemPerCPU=100 State=UP
PartitionName=gpu Nodes={host} MaxTime=60 DefMemPerCPU=100 State=UP
"""
GRES_CONF = "NodeName={host} Name=gpu Type=fake File={folder}/gpu[0-1] Flags=nvidia_gpu_env\n"
ETC = Path("/etc/slurm")


def free_port_range(count: int) -> int:
    """Return the first of `count` neighbouring ports that nobody listens on."""
    for first in range(26800, 32000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for used in sockets:
                used.close()
    raise AssertionError("no free ports")


def wait_until_idle(daemons: list[subprocess.Popen], folder: Path) -> None:
    for _ in range(300):
        state = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%T"], text=True, capture_output=True, check=False
        ).stdout
        if set(state.split()) == {"idle"}:
            return
        assert all(daemon.poll() is None for daemon in daemons), (folder / "slurmctld.log").read_text()
        time.sleep(0.1)
    raise AssertionError(f"the node is {state!r}: {(folder / 'slurmd.log').read_text()}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """SLURM with one node; every daemon is a child of this process and is ended by its process id."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    first = free_port_range(100)
    facts = {
        "host": socket.gethostname().split(".")[0],
        "folder": folder,
        "ports": (first, first + 1, first + 2, first + 99),
    }
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**facts))
    (folder / "gres.conf").write_text(GRES_CONF.format(**facts))
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    for number in range(2):
        # the device numbers of /dev/null: slurmd only wants a device file
        os.mknod(folder / f"gpu{number}", 0o20666, os.makedev(1, 3))
    # srun inside a job finds its configuration only at the default place
    ETC.mkdir(exist_ok=True)
    links = [ETC / name for name in ("slurm.conf", "gres.conf")]
    for link in links:
        link.symlink_to(folder / link.name)
    munge = ["munged", "--force", "--foreground", "--num-threads=1", f"--socket={folder}/munge.socket"]
    munge += [
        f"--{name}-file={folder}/{file}" for name, file in (("key", "munge.key"), ("pid", "munged.pid"))
    ]
    munge += [f"--{name}-file={folder}/munged.{name}" for name in ("log", "seed")]
    daemons: list[subprocess.Popen] = []
    try:
        for command in (munge, ["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
            quiet = subprocess.DEVNULL
            daemons.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True))
            time.sleep(0.3)
        wait_until_idle(daemons, folder)
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for link in links:
            link.unlink(missing_ok=True)


def small_profile(project: Project, *rules: str, **changes: object) -> str:
    """Copy profiles/slurm, as a user would, and change what this node cannot give; for some rules alone."""
    document = yaml.safe_load((project.folder / "profiles/slurm/config.yaml").read_text())
    document |= {
        "slurm-init-seconds-before-status-checks": 1,
        "slurm-status-command": "squeue",
        "latency-wait": 5,
        "retries": 1,
    }
    document["default-resources"] |= {"slurm_account": "nobody", "mem_mb": 200, "runtime": 5}
    document["set-threads"] = dict.fromkeys(document["set-threads"], 1)
    for resources in document["set-resources"].values():
        resources["runtime"] = 5
        resources |= {"mem_mb": 200} if "mem_mb" in resources else {}
        resources |= {"tasks": 2, "mem_mb_per_cpu": 100} if "mpi" in resources else {}
    # these rules ask for more than the node has
    for name in ("assemble_couplings", "dephasing"):
        document["set-resources"][name] = {"mem_mb": 200, "runtime": 5}
    for section in ("set-threads", "set-resources") if rules else ():
        document[section] = {rule: document[section][rule] for rule in rules}
    document |= changes
    folder = project.folder / "profiles/small"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    return "profiles/small"


def jobs_of_cluster() -> list[dict[str, str]]:
    text = subprocess.run(
        ["scontrol", "-o", "show", "jobs"], text=True, capture_output=True, check=True
    ).stdout
    return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines() if "JobId" in line]


def test_shards_on_gpus_and_dynamics_over_mpi(cluster: None, finished: Project) -> None:
    folder = finished.folder / "results-test/TiO2/1x1x1/pbe"
    shutil.rmtree(folder / "states")
    (folder / "dynamics/dish_seed1.h5").unlink()
    parts = ("000000-000049", "000050-000099")
    shards = [f"results-test/TiO2/1x1x1/pbe/states/frames_{part}.h5" for part in parts]
    target = "results-test/TiO2/1x1x1/pbe/dynamics/dish_seed1.h5"
    done = finished.run(
        *("snakemake", "--profile", small_profile(finished), "--configfile", "config/test.yaml"),
        *("--", *shards, target),
        check=False,
    )
    logs = "".join(file.read_text() for file in (finished.folder / "logs/slurm").rglob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs

    solved = [call for call in finished.calls if "states solve" in call]
    assert sorted(re.search(r"--frames (\S+)", call)[1] for call in solved) == list(parts)
    # srun started one process a task
    assert len([call for call in finished.calls if "dynamics run" in call]) == 2
    jobs = jobs_of_cluster()
    assert [job["Partition"] for job in jobs].count("gpu") == 2
    assert {job["Partition"] for job in jobs} == {"cpu", "gpu"}
    assert "2" in {job["NumTasks"] for job in jobs}
    assert not any("ArrayTaskId" in job for job in jobs)


def test_failed_job_is_tried_again_by_the_profile_alone(cluster: None, finished: Project) -> None:
    folder = finished.folder / "results-test/TiO2/1x1x1/pbe"
    (folder / "dephasing.json").unlink()
    program = finished.folder / "bin/n2amd"
    program.write_text(program.read_text().replace("line=$*\n", "line=$*\nexit 1\n"))
    before = len(jobs_of_cluster())
    done = finished.run(
        *("snakemake", "--profile", small_profile(finished), "--configfile", "config/test.yaml"),
        *("--", "results-test/TiO2/1x1x1/pbe/dephasing.json"),
        check=False,
    )
    assert done.returncode != 0
    assert len(finished.calls) == 2, "the first try and one more"
    assert len(jobs_of_cluster()) - before == 2


SHARDS = 60
MANY_SHARDS = f"""
rule all:
    input:
        expand("shards/{{number}}", number=range({SHARDS})),


rule solve_states:
    output:
        "shards/{{number}}",
    shell:
        "never called"
"""
# what every job starts instead of two Snakemakes, which would take seconds each
JOB = """#!/usr/bin/env bash
number=$(grep -oP -- 'solve_states:number=\\K\\d+' <<<"$*")
mkdir -p shards
echo $number >> calls.log
[ ! -e broken/$number ] && touch shards/$number
"""
# where software is not shared, jobs take the python of their PATH
OWN_PYTHON = ("--shared-fs-usage", "input-output", "persistence", "sources", "source-cache")


def test_many_shards_of_which_one_fails(cluster: None, project: Project) -> None:
    """More shards than may be submitted in two seconds: all are, and only the failed one runs again."""
    failing = "17"
    (project.folder / "Snakefile").write_text(MANY_SHARDS)
    (project.folder / "bin/python").write_text(JOB)
    (project.folder / "bin/python").chmod(0o755)
    (project.folder / "broken").mkdir()
    (project.folder / "broken" / failing).touch()
    profile = small_profile(project, "solve_states", retries=0)
    command = ("snakemake", "--profile", profile, *OWN_PYTHON)
    before = len(jobs_of_cluster())

    def made() -> set[str]:
        return {file.name for file in (project.folder / "shards").iterdir()}

    # only a run that hangs comes near the limit
    first = project.run(*command, check=False, timeout=900)
    output = first.stdout + first.stderr
    assert first.returncode != 0
    assert sorted(project.calls, key=int) == [str(number) for number in range(SHARDS)], output
    assert made() == set(project.calls) - {failing}, output
    assert len(jobs_of_cluster()) - before == SHARDS

    (project.folder / "broken" / failing).unlink()
    project.run(*command, timeout=900)
    assert project.calls[SHARDS:] == [failing]
    assert made() == set(project.calls)
    assert len(jobs_of_cluster()) - before == SHARDS + 1
