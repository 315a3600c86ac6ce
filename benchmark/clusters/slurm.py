"""A grid as an array of Slurm jobs, each a shard of the plan on one shared results folder."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmark.errors import UserError
from benchmark.program import program
from benchmark.settings import Settings, arguments_of

WITHOUT_VALUE = (
    "contiguous", "exclusive", "get-user-env", "hold", "nice", "no-kill", "no-requeue", "overcommit",
    "oversubscribe", "quiet", "reboot", "requeue", "spread-job", "use-min-nodes", "verbose",
)  # fmt: skip
"""Options of sbatch that may stand alone."""
NOTICE_SECONDS = 120
"""How long before its end a job is told of it: enough to end a step and write snapshots."""
SCRIPT = """#!/bin/bash
{options}
cd {here}
# srun does not take this over from the job.
if [ -n "$SLURM_CPUS_PER_TASK" ]; then export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"; fi
srun {command} --shard "$SLURM_ARRAY_TASK_ID/{jobs}"
code=$?
# It was told of its end and has written snapshots: another job goes on from there. (Queued again, this one
# would not be told of its end a second time.)
if [ "$code" -eq {interrupted} ]; then sbatch --array="$SLURM_ARRAY_TASK_ID" {script}; fi
exit "$code"
"""


def write_array(settings: Settings) -> Path:
    """The script of an array of `--jobs` jobs: each runs this command's shard of that number.

    Raises UserError for an option of sbatch that lacks its value.
    """
    for option in settings.slurm:
        name = option.removeprefix("--").partition(" ")[0]
        if "=" not in option and name not in WITHOUT_VALUE:
            raise UserError(f"--slurm {option}: write {name or 'NAME'}=VALUE, as in --slurm partition=gpu")
    folder = settings.folder / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    own = replace(settings, executor="local", jobs=1, slurm=(), report=False)
    command = [sys.executable, *_program(), *arguments_of(own)]
    options = [
        f"--job-name=wcord-{settings.folder.name}",
        f"--array=1-{settings.jobs}",
        f"--output={folder.resolve()}/%A_%a.out",
        "--open-mode=append",
        f"--signal=TERM@{NOTICE_SECONDS}",
        "--requeue",
        *(f"--{option.removeprefix('--')}" for option in settings.slurm),
    ]
    header = "\n".join(f"#SBATCH {shlex.quote(option)}" for option in options)
    script = folder / "array.sh"
    script.write_text(
        SCRIPT.format(
            options=header,
            here=shlex.quote(str(Path.cwd())),
            command=shlex.join(command),
            jobs=settings.jobs,
            interrupted=128 + signal.SIGTERM,
            script=shlex.quote(str(script.resolve())),
        )
    )
    script.chmod(0o755)
    return script


def submit(script: Path) -> str | None:
    """Hands the script to `sbatch` and returns what that answers; None where this machine has none.

    Raises UserError where it is refused.
    """
    if shutil.which("sbatch") is None:
        return None
    answer = subprocess.run(["sbatch", str(script)], capture_output=True, text=True, check=False)
    if answer.returncode:
        reason = " ".join((answer.stderr or answer.stdout).split())
        raise UserError(f"sbatch {script}: {reason}; mend it with --slurm (partition=..., time=...)")
    return answer.stdout.strip()


def _program() -> list[str]:
    return [program()] if program().endswith(".py") else ["-m", "wcord_bench"]
