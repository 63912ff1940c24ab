"""The cache of a job: rows that stand in several parts run once."""

import os
import threading

from ..cache import FeatureCache

# Of the workers of a cluster, whose memory is often small.
WORKER_BUDGET = 2**28

# The job that this process, a worker, is at; parts come one by one.
_at_work: dict[bytes, FeatureCache] = {}
_lock = threading.Lock()


class JobCache(FeatureCache):
    """Vectors of one job in memory, those of its depth only.

    A pickled one is, on a worker, the same for all parts of the job.
    """

    _keeps_all_depths = False

    def __init__(self, **options):
        super().__init__(**options)
        self.job = os.urandom(16)

    def __reduce__(self):
        """Pickle the name of the job."""
        return cache_of_job, (self.job,)


def cache_of_job(job):
    """Return this process's cache of a job; that of another job goes."""
    with _lock:
        if job not in _at_work:
            forget_job()
            _at_work[job] = JobCache(memory_budget=WORKER_BUDGET)
        return _at_work[job]


def forget_job():
    """Let the vectors of a job go."""
    _at_work.clear()
