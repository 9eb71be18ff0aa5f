"""What a machine runs out of, and a way out, in one line."""

import errno
import re
import shutil

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GONE = (errno.ENOENT, errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ENODEV, errno.ENXIO)
FEWER = (
    'lower train_dataloader.num_workers and val_dataloader.num_workers (0 needs no loading '
    'processes)'
)
STATUS = {  # see mmssl.engine.workers
    81: f'has no room in shared memory (/dev/shm{{free}}): enlarge it (docker run --shm-size=8g, '
    f'or --ipc=host) or {FEWER}',
    82: f'may not open more files: raise the limit (ulimit -n 65536) or {FEWER}',
    83: f'could not hand a batch over (its reason is printed above): {FEWER} to see it in full',
}


def loading_fault(error: BaseException) -> str | None:
    """Explain why loading processes died or gave nothing."""
    if not isinstance(error, RuntimeError):
        return None
    text = f'{error} {error.__cause__ or ""}'  # the status of a process stands in the cause
    late = re.search(r'DataLoader timed out after ([\d.]+) seconds', text)
    if late:
        return (
            f'the loading processes gave no batch within {float(late[1]):.0f} s: the files are '
            f'read too slowly or a process hangs; {FEWER}, or allow more time with '
            'train_dataloader.timeout=SECONDS (or val_dataloader.timeout)'
        )
    if re.search('Too many open files|items of ancdata', text):
        return f'a loading process {STATUS[82]}'
    if re.search(r'allocate shared memory|insufficient shared memory', text):
        return f'a loading process {STATUS[81].format(free=_free_shared_memory())}'
    if 'DataLoader worker' not in text or 'Original Traceback' in text:
        return None
    status = re.search(r'exited unexpectedly with exit code (\d+)', text)
    if status and int(status[1]) in STATUS:
        return f'a loading process {STATUS[int(status[1])].format(free=_free_shared_memory())}'
    killed = re.search(r'killed by signal: ([\w ]+)', text)
    if killed and killed[1].startswith('Bus error'):  # written beyond the end of /dev/shm
        return f'a loading process {STATUS[81].format(free=_free_shared_memory())}'
    how = f'by the signal "{killed[1]}"' if killed else 'from outside'
    return (
        f'a loading process was ended {how}, as a system that runs out of memory does: {FEWER} '
        'or train_dataloader.prefetch_factor, or leave out train_dataloader.dataset.cache; '
        'the run goes on with --resume'
    )


def no_room(error: BaseException) -> str | None:
    """Explain that the machine has no room, no open files or no memory left."""
    code = getattr(error, 'errno', None)
    short = isinstance(error, RuntimeError) and re.search(
        "can't allocate memory|not enough memory|out of memory", str(error)
    )  # torch's
    if isinstance(error, MemoryError) or code == errno.ENOMEM or short:
        return (
            'there is not enough memory: lower the batch (batch_sampler.num_labelled, '
            f'num_unlabelled), leave out train_dataloader.dataset.cache, or {FEWER}'
        )
    if code in (errno.EMFILE, errno.ENFILE):
        return f'this process {STATUS[82]}'
    if isinstance(error, OSError) and code in NO_ROOM:
        where = f'"{error.filename}"' if error.filename else 'a disk or shared memory'
        return (
            f'{where}: {error.strerror}; free some space, or choose another place, for '
            'example with --work-dir'
        )
    return None


def place_gone(error: BaseException) -> str | None:
    """Explain that the place of a file that is to be written or read has gone."""
    if not isinstance(error, OSError) or error.errno not in GONE or not error.filename:
        return None
    return f'"{error.filename}": {error.strerror}; was its folder removed, renamed or unmounted?'


def free_shared_memory() -> float | None:
    """Return the bytes free in shared memory; None where the system does not say."""
    try:
        return shutil.disk_usage('/dev/shm').free
    except OSError:
        return None


def _free_shared_memory() -> str:
    free = free_shared_memory()
    return '' if free is None else f' has {free / 1e6:.0f} MB free'
