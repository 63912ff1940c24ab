"""The folder of a job: one process at a time, and one job for ever."""

import contextlib
import json

from .._utils.whole_file import write_whole
from ..exceptions import BulkError
from ._parts import REJECTED

JOB = "_job.json"  # readers of Parquet folders skip such names
LOCK = ".lock"


@contextlib.contextmanager
def job_folder(out, job):
    """Open a job's folder, and keep other jobs and other processes out of it.

    Raises
    ------
    BulkError
        If it cannot be made, is of another job, has other files, or another process
        writes to it.
    """
    known = {LOCK, REJECTED, JOB}
    if (
        out.exists()
        and not (out / JOB).is_file()
        and any(p.name not in known and p.suffix != ".tmp" for p in out.iterdir())
    ):
        raise BulkError(
            f"{out} has files, but no {JOB}, so it is not the folder of a job: give a "
            "new folder."
        )
    try:
        (out / REJECTED).mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise BulkError(
            f"The folder {out} cannot be made ({err.strerror or err}). Give another "
            "folder for the result."
        ) from err
    with alone(out):
        _start(out, job)
        yield


@contextlib.contextmanager
def alone(out):
    """Keep other processes out of a folder; a process that is killed lets go."""
    with open(out / LOCK, "a") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on this system
            pass
        except OSError as err:
            raise BulkError(
                f"Another process is writing to {out}; wait until it ends, or use "
                "another folder."
            ) from err
        yield


def _start(out, job):
    """Write down the job, or see that it is the same as before."""
    path = out / JOB
    if path.is_file():
        try:
            before = json.loads(path.read_bytes())
        except ValueError as err:
            raise BulkError(f"{path} is damaged ({err}); use another folder.") from err
        changed = sorted(k for k in job if before.get(k) != job[k])
        if changed:
            is_are = "is" if len(changed) == 1 else "are"
            raise BulkError(
                f"{out} is the result of another job: {', '.join(changed)} {is_are} "
                "not the same. Use another folder, or the same arguments and files."
            )
        for stale in (*out.glob(".*.tmp"), *(out / REJECTED).glob(".*.tmp")):
            stale.unlink(missing_ok=True)
        return
    write_whole(path, json.dumps(job, indent=1).encode())
