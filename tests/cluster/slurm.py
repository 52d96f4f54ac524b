"""A real SLURM on this machine: a controller and two nodes, without systemd.

It needs root and Debian's packages slurm-wlm and munge (``make test-cluster`` installs them), and
writes ``/etc/slurm``, because jobs start in a clean environment.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from waiting import until

NODES = ("n1", "n2")
CONFIG = Path("/etc/slurm/slurm.conf")
OURS = "# Written by tests/cluster/slurm.py\n"
MUNGE_KEY = Path("/etc/munge/munge.key")


def configuration(folder: Path) -> str:
    """Two nodes of one core each on this host, which notice within seconds that one is gone."""
    host = socket.gethostname().partition(".")[0]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} Port={17001 + k} CPUs=1 RealMemory=32000 "
        "Gres=gpu:1 State=UNKNOWN"
        for k, name in enumerate(NODES)
    )
    return f"""{OURS}ClusterName=two
SlurmctldHost={host}
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
SlurmdTimeout=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
{nodes}
PartitionName=main Nodes={",".join(NODES)} Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """The controller and its nodes, in a ``folder`` of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def running(self) -> Iterator["Slurm"]:
        """Raises ``AssertionError`` where this machine has a SLURM of its own."""
        self.make_room()
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def make_room(self) -> None:
        if CONFIG.exists():
            assert CONFIG.read_text().startswith(OURS), f"{CONFIG} is of another SLURM"
            for name in ("slurmctld", "slurmd"):  # left by tests that were killed
                subprocess.run(["pkill", "-KILL", "-x", name], check=False)

    def start(self) -> None:
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.write_text(configuration(self.folder))
        # GPUs that are none: SLURM counts them as it counts real ones.
        devices = f"NodeName=n[1-{len(NODES)}] Name=gpu Count=1 File=/dev/null\n"
        (CONFIG.parent / "gres.conf").write_text(devices)
        (self.folder / "state").mkdir()
        start_munge()
        subprocess.run(["slurmctld"], check=True)
        for name in NODES:
            self.start_node(name)
        until(lambda: states() == dict.fromkeys(NODES, "idle"), 60, "the nodes are not idle")

    def start_node(self, name: str) -> None:
        (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        subprocess.run(["slurmd", "-N", name], check=True)

    def kill_node(self, name: str) -> None:
        """All of a node at once, its jobs too, as if its power were gone."""
        daemon = int((self.folder / f"{name}.pid").read_text())
        os.kill(daemon, signal.SIGKILL)
        for job in output("squeue", "--noheader", f"--nodelist={name}", "--format=%A").split():
            # First what would tell the controller how the job has ended.
            subprocess.run(["pkill", "-KILL", "-f", rf"slurmstepd: \[{job}\."], check=False)
            for process in processes_of(job):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def stop(self) -> None:
        for name in ("controller", *NODES):
            path = self.folder / f"{name}.pid"
            if path.exists():
                subprocess.run(["kill", path.read_text().strip()], check=False)
        for path in (CONFIG, CONFIG.parent / "gres.conf"):
            path.unlink(missing_ok=True)


def start_munge() -> None:
    """The service that signs what SLURM's parts tell each other."""
    if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        return
    if not MUNGE_KEY.exists():
        MUNGE_KEY.write_bytes(os.urandom(1024))
    shutil.chown(MUNGE_KEY, "munge", "munge")
    MUNGE_KEY.chmod(0o400)
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)


def processes_of(job: str) -> list[int]:
    """Everything that runs as part of a job: what has its number in its environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"SLURM_JOB_ID={job}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def states() -> dict[str, str]:
    """The state of each node."""
    lines = output("sinfo", "--noheader", "--Node", "--format=%N %t").splitlines()
    return dict(line.split() for line in lines)
