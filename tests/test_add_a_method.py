"""The plug-in that docs/en/add_a_method.md types works as printed, from outside the package."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs/en/add_a_method.md'
BLOCK = re.compile(r'<!-- (file (?P<name>\S+)|plug-in) -->\n```\w+\n(?P<text>.*?)```', re.S)


def call(*words, cwd) -> str:
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    environment = {key: v for key, v in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run(
        words,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**environment, 'PATH': path, 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, f'{done.stdout[-2000:]}\n{done.stderr[-3000:]}'
    return done.stdout


def test_the_page_works_as_printed(tmp_path):
    commands = ''
    for block in BLOCK.finditer(PAGE.read_text()):
        if block['name']:
            (tmp_path / block['name']).write_text(block['text'])
        else:
            commands += block['text']
    lines = (tmp_path / 'my_mean_teacher.py').read_text().splitlines()
    assert len(lines) <= 35
    log = call('bash', '-euo', 'pipefail', '-c', commands, cwd=tmp_path)
    assert 'unlabelled' in log
    scalars = next(tmp_path.glob('work_dirs/my_mean_teacher_phantom/*/vis_data/scalars.json'))
    assert scalars.exists() and (tmp_path / 'work_dirs/my_mean_teacher_phantom/iter_4.pth').exists()
    test = call(sys.executable, '-m', 'pytest', '-q', 'test_my_mean_teacher.py', cwd=tmp_path)
    assert '13 passed' in test
    config = 'my_mean_teacher_phantom.py'
    weights = 'work_dirs/my_mean_teacher_phantom/iter_4.pth'
    call('mmssl', 'test', config, weights, cwd=tmp_path)
    call('mmssl', 'browse', config, '--number', '1', cwd=tmp_path)
    call('mmssl', 'benchmark-step', config, '--iters', '1', cwd=tmp_path)
    call('mmssl', 'benchmark', 'pipeline', config, cwd=tmp_path)
    methods = ('--methods', f'sup_only,mine={config}', '--data', 'sup_only/lite_phantom.py')
    compared = call('mmssl', 'compare', *methods, '--dry-run', cwd=tmp_path)
    assert '[2/2] mine, seed 0: new' in compared
