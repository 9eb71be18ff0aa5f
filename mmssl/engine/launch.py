"""Start the communication of several processes, on GPUs or on the CPU."""

import datetime
import os
import subprocess

import torch
import torch.distributed as dist

from mmssl.engine.heartbeat import start_heartbeat

LAUNCHERS = ('none', 'pytorch', 'slurm')


def init_distributed(launcher: str, dist_cfg: dict) -> None:
    """Join the process group that a launcher prepared.

    Args:
        launcher: 'pytorch' (torchrun) or 'slurm' (srun).
        dist_cfg: `backend` (default: nccl with CUDA, else gloo); `heartbeat`, the seconds without
            a sign of life after which a rank counts as stopped (default 60, see
            `mmssl.engine.heartbeat.Heartbeat`); and `timeout`, the seconds after
            which a rank gives up waiting for another (default 600). A rank that dies is noticed
            at once by the launcher; the timeout is for one that hangs, and must be longer than
            what rank 0 does alone (writing a checkpoint, computing metrics).

    Raises:
        ValueError: unknown launcher, or variables that it should have set are missing.
    """
    if launcher not in LAUNCHERS[1:]:
        raise ValueError(f'launcher is "{launcher}"; known are {", ".join(LAUNCHERS)}')
    if launcher == 'slurm':
        _read_slurm()
    missing = [key for key in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE') if key not in os.environ]
    if missing:
        raise ValueError(
            f'launcher="{launcher}", but {", ".join(missing)} is not set; start the program with '
            'tools/dist_train.sh or torchrun'
        )
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']) % torch.cuda.device_count())
    backend = dist_cfg.pop('backend', None) or ('nccl' if cuda else 'gloo')
    if backend == 'nccl' and not cuda:
        backend = 'gloo'
    timeout = datetime.timedelta(seconds=dist_cfg.pop('timeout', 600))
    heartbeat = dist_cfg.pop('heartbeat', 60)
    dist.init_process_group(backend, timeout=timeout, **dist_cfg)
    start_heartbeat(heartbeat)


def _read_slurm() -> None:
    environment = os.environ
    missing = [k for k in ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID') if k not in environment]
    if missing:
        raise ValueError(
            f'launcher="slurm", but {", ".join(missing)} is not set; start the program with '
            'tools/slurm_train.sh or srun'
        )
    environment['RANK'] = environment['SLURM_PROCID']
    environment['WORLD_SIZE'] = environment['SLURM_NTASKS']
    environment['LOCAL_RANK'] = environment['SLURM_LOCALID']
    # Two jobs may share a machine: each has a port of its own, which all its ranks know.
    numbers = [environment.get(k, '') for k in ('SLURM_JOB_ID', 'SLURM_STEP_ID')]
    job = sum(int(number) for number in numbers if number.isdecimal())
    environment.setdefault('MASTER_PORT', environment.get('PORT') or str(20000 + job % 10000))
    if 'MASTER_ADDR' not in environment:
        nodes = environment.get('SLURM_NODELIST', 'localhost')
        command = ['scontrol', 'show', 'hostnames', nodes]
        environment['MASTER_ADDR'] = subprocess.check_output(command, text=True).split()[0]
