"""A Slurm of two nodes on this machine, for tests: daemons that live in a folder, and end with it.

Its programs are those of Debian's packages slurm-wlm and munge; no service of the system is touched.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo", "squeue", "scontrol", "scancel")
PATIENCE = 60.0
"""Seconds that the nodes have to be ready for jobs."""
NODES = ("n1", "n2")
"""What they are called; each has one CPU."""
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdTimeout=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def programs() -> dict[str, str] | None:
    """The programs that a node needs, where all are there."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = {name: shutil.which(name, path=path) for name in PROGRAMS}
    return {name: file for name, file in found.items() if file} if all(found.values()) else None


def node() -> str:
    """What Slurm calls this machine."""
    return socket.gethostname().partition(".")[0]


def answers() -> bool:
    """Whether the commands of this environment find a controller, and this machine is one of its nodes."""
    asked = ["sinfo", "--noheader", f"--nodes={node()}", "--states=idle,mixed,allocated", "--format=%D"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return any(word != "0" for word in told.split())


@contextmanager
def two_nodes(folder: Path) -> Iterator[Path]:
    """The configuration (for SLURM_CONF) of two nodes, which are ready; its end is that of all jobs.

    folder   a short path: a socket stands in it
    """
    found = programs()
    assert found is not None
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=node(),
            ports=_free_ports(1 + len(NODES)),
            user=getpass.getuser(),
            folder=folder,
        )
    )
    with ExitStack() as daemons:
        for name, *arguments in (
            ("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
             f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed",
             f"--log-file={folder}/munged.log"),
            ("slurmctld", "-D", "-f", str(configuration)),
            *(("slurmd", "-D", "-N", node, "-f", str(configuration)) for node in NODES),
        ):  # fmt: skip
            output = folder / f"{name}{''.join(set(NODES) & set(arguments))}.out"
            daemons.enter_context(_running([found[name], *arguments], output))
        _wait(configuration)
        yield configuration
        environment = os.environ | {"SLURM_CONF": str(configuration)}
        subprocess.run(["scancel", "--me"], env=environment, capture_output=True, timeout=20, check=False)


def break_down(name: str) -> None:
    """Kills a node and everything on it, as a machine that loses its power: nobody tells the controller."""
    found = list(psutil.process_iter(["cmdline", "environ", "name", "ppid"]))
    jobs = [each for each in found if (each.info["environ"] or {}).get("SLURMD_NODENAME") == name]
    parents = {each.info["ppid"] for each in jobs}
    steps = [each for each in found if each.pid in parents and each.info["name"] == "slurmstepd"]
    daemons = [each for each in found if (each.info["cmdline"] or [])[1:4] == ["-D", "-N", name]]
    for each in (*daemons, *steps, *jobs):
        with suppress(psutil.NoSuchProcess):
            each.kill()


@contextmanager
def _running(command: list[str], output: Path) -> Iterator[None]:
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(configuration: Path) -> None:
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        told = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True
        ).stdout
        if told.split() == ["idle"]:
            return
        time.sleep(0.2)
    said = [file.read_text(errors="replace")[-2000:] for file in configuration.parent.glob("*.out")]
    raise RuntimeError("the nodes are not ready:\n" + "\n".join(said))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
