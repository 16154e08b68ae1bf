"""A Slurm of this machine alone, with two nodes: Debian's munged, slurmctld and slurmd, started in a folder and stopped.

No systemd, no control groups, no database; what it is told lies in the folder, and its ports are free ones.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = ("node1", "node2")
ANSWERS_WITHIN = 120  # seconds, on a busy machine

CONF = """
ClusterName=course
SlurmctldHost={host}
SlurmctldPort={ctl_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=20
InactiveLimit=0
KillWait=2
MinJobAge=10
JobRequeue=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=1 State=UNKNOWN
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=1 State=UNKNOWN
PartitionName=cpu Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""


def missing_daemons() -> list[str]:
    return [name for name in (*DAEMONS, "sbatch") if not _program(name)]


class Slurm:
    """The daemons, by name; the nodes are `slurmd-node1` and `slurmd-node2`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(mode=0o755)
        (folder / "state").mkdir()
        (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
        (folder / "munge.key").chmod(0o400)
        ctl, one, two = _free_ports(3)
        user = pwd.getpwuid(os.getuid()).pw_name
        host = socket.gethostname().split(".")[0]
        text = CONF.format(folder=folder, ctl_port=ctl, port1=one, port2=two, user=user, host=host)
        self.conf = folder / "slurm.conf"
        self.conf.write_text(text)

    def start(self) -> None:
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
        places = [f"--{name}={self.folder / file}" for name, file in {**files, "seed-file": "seed"}.items()]
        self._start("munged", "--foreground", "--force", *places)
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for("the nodes", lambda: self.states() == ["idle", "idle"])

    def start_controller(self) -> None:
        self._start("slurmctld", "-D", "-f", str(self.conf))
        self.wait_for("the controller", lambda: self.call("scontrol", "ping").returncode == 0)

    def start_node(self, node: str) -> None:
        self._start("slurmd", "-D", "-N", node, "-f", str(self.conf), name=f"slurmd-{node}")

    def _start(self, program: str, *arguments: str, name: str = "") -> None:
        out = (self.folder / f"{name or program}.out").open("ab")
        command = [str(_program(program)), *arguments]
        self.daemons[name or program] = subprocess.Popen(command, stdout=out, stderr=out, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    def call(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, env=self.environment)

    def states(self) -> list[str]:
        return self.call("sinfo", "--noheader", "--Node", "--format=%T").stdout.split()

    def kill(self, name: str) -> None:
        """Kills a daemon, and waits for its end."""
        self.daemons[name].kill()
        self.daemons.pop(name).wait()

    def restart_controller(self) -> None:
        """As its host's reboot would: it keeps its jobs. (Killed, it may have forgotten them, or hold some that have ended.)"""
        controller = self.daemons.pop("slurmctld")
        controller.terminate()
        controller.wait()
        self.start_controller()

    def wait_for(self, what: str, holds: object) -> None:
        end = time.monotonic() + ANSWERS_WITHIN
        while not holds():  # type: ignore[operator]
            if time.monotonic() > end:
                said = "\n".join(path.read_text(errors="replace")[-800:] for path in self.folder.glob("*.log"))
                raise TimeoutError(f"{what} did not come:\n{said}")
            time.sleep(0.2)

    def stop(self) -> None:
        self.call("scancel", f"--user={os.getuid()}")
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()
            daemon.wait()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
