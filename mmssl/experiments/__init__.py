"""Many runs: grids and comparisons, their jobs, tables and plots."""

from mmssl.experiments.jobs import Job
from mmssl.experiments.local import Local
from mmssl.experiments.runs import run_jobs

__all__ = ['Job', 'Local', 'run_jobs']
