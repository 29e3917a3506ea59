"""SLURM with one node, all daemons on loopback, started and ended by the tests."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optional_programs import left_by_killed_tests

# no cgroups, no accounting; more CPUs than the machine may have: jobs are counted here and not timed
# (OverTimeLimit: a slow machine ends none for its time); who takes more memory than was asked for is ended
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
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=UsePss,OverMemoryKill
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu,shard
MpiDefault=pmi2
ReturnToService=2
MinJobAge=86400
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=64000 \
Gres=gpu:fake:2,shard:8 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=600 DefMemPerCPU=100 OverTimeLimit=60 State=UP
PartitionName=gpu Nodes={host} MaxTime=600 DefMemPerCPU=100 OverTimeLimit=60 State=UP
"""
GRES_CONF = """
NodeName={host} Name=gpu Type=fake File={folder}/gpu[0-1] Flags=nvidia_gpu_env
NodeName={host} Name=shard Count=8
"""
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


def cancel_all_jobs() -> None:
    """End what a failed test left: without daemons its processes would go on."""
    subprocess.run(["scancel", "--user=root"], check=True)
    for _ in range(600):
        if not subprocess.run(["squeue", "-h"], text=True, capture_output=True, check=False).stdout:
            return
        time.sleep(0.1)


@contextmanager
def running_slurm(folder: Path) -> Iterator[None]:
    """Run SLURM with one node; every daemon is a child of this process and is ended by its process id."""
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
    if left_by_killed_tests():
        for link in links:
            link.unlink(missing_ok=True)
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
        try:
            yield
        finally:
            cancel_all_jobs()
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


def jobs_of_cluster() -> list[dict[str, str]]:
    """Return what SLURM knows of every job, ended ones too."""
    text = subprocess.run(
        ["scontrol", "-o", "show", "jobs"], text=True, capture_output=True, check=True
    ).stdout
    return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines() if "JobId" in line]
