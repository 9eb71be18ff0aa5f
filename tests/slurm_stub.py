"""Stand-ins for Slurm's commands that run jobs on this machine, and keep them in a folder.

`sbatch` numbers a job, notes what it asks for and runs its script; `squeue` and `sacct` tell its
state, `scontrol requeue` lets it run again once it has ended, `scancel` ends it. A file `refuse`
in the folder makes `sbatch` fail. A state written into `ID.state.forced` is what `sacct` tells.
"""

import os
import stat
import sys

PROGRAM = """#!{python}
import json, os, re, signal, subprocess, sys
from pathlib import Path

FOLDER, NAME, WORDS = Path({folder!r}), Path(sys.argv[0]).name, sys.argv[1:]

def state(number, new=None):
    path = FOLDER / f'{{number}}.state'
    if new is not None:
        path.with_suffix('.new').write_text(new)
        path.with_suffix('.new').rename(path)
    forced = FOLDER / f'{{number}}.state.forced'
    if forced.exists():
        return forced.read_text()
    return path.read_text() if path.exists() else ''

def fill(text, number):
    return text.replace('%j', number).replace('%t', '0')

if NAME == 'sbatch':
    if (FOLDER / 'refuse').exists():
        sys.exit('sbatch: error: invalid partition specified')
    number = str(len(list(FOLDER.glob('*.sh'))) + 1)
    script = FOLDER / f'{{number}}.sh'
    script.write_text(Path(WORDS[0]).read_text())
    state(number, 'PENDING')
    subprocess.Popen([sys.executable, str(FOLDER / 'bin/slurmd'), number], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL)
    print('Submitted batch job', number)
elif NAME == 'slurmd':
    number = WORDS[0]
    script = (FOLDER / f'{{number}}.sh').read_text()
    out = Path(fill(re.search('--output=(.*)', script).group(1).strip("'"), number))
    out.parent.mkdir(parents=True, exist_ok=True)
    gpus = int(re.search('--gpus-per-node=(.*)', script).group(1))
    env = dict(os.environ, SLURM_JOB_ID=number, SLURM_PROCID='0', SLURM_LOCALID='0',
               SLURM_NTASKS='1', CUDA_VISIBLE_DEVICES=','.join(map(str, range(gpus))))
    while True:
        state(number, 'RUNNING')
        (FOLDER / f'{{number}}.requeue').unlink(missing_ok=True)
        with out.open('a') as log:
            ended = subprocess.run(['bash', '-c', script], env=env, stdout=log, stderr=log)
        if not (FOLDER / f'{{number}}.requeue').exists():
            break
        state(number, 'PENDING')
    if state(number) != 'CANCELLED by 0':
        state(number, 'FAILED' if ended.returncode else 'COMPLETED')
elif NAME == 'srun':
    (FOLDER / (os.environ['SLURM_JOB_ID'] + '.pid')).write_text(str(os.getpid()))
    at = next(i for i, word in enumerate(WORDS) if 'python' in Path(word).name)
    os.execv(WORDS[at], WORDS[at:])
elif NAME == 'squeue':
    number = WORDS[WORDS.index('--jobs') + 1]
    if not (FOLDER / f'{{number}}.state').exists():
        sys.exit('slurm_load_jobs error: Invalid job id specified')
    if state(number) in ('PENDING', 'RUNNING'):
        print(number)
elif NAME == 'sacct':
    print('JobID|State|NodeList')
    for word, number in zip(WORDS, WORDS[1:]):
        if word == '-j' and state(number):
            print(f'{{number}}|{{state(number)}}|here')
elif NAME == 'scontrol':
    assert WORDS[0] == 'requeue'
    (FOLDER / f'{{WORDS[1]}}.requeue').touch()
elif NAME == 'scancel':
    state(WORDS[0], 'CANCELLED by 0')
    os.kill(int((FOLDER / f'{{WORDS[0]}}.pid').read_text()), signal.SIGKILL)
"""


def write_slurm(folder, monkeypatch):
    """Put the stand-ins first on PATH; return the folder of their jobs."""
    jobs = folder / 'slurm_stub'
    (jobs / 'bin').mkdir(parents=True)
    for name in ('sbatch', 'slurmd', 'srun', 'squeue', 'sacct', 'scontrol', 'scancel'):
        program = jobs / 'bin' / name
        program.write_text(PROGRAM.format(python=sys.executable, folder=str(jobs)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{jobs / "bin"}{os.pathsep}{os.environ["PATH"]}')
    return jobs
