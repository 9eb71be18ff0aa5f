"""Logs, curves and event files on a full disk: one line each, no traceback, no end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_toy import config

from mmssl.engine.vis_backends import LocalVisBackend
from mmssl.registry import RUNNERS
from mmssl.visualization import read_scalars

FULL = """
import logging, resource, sys
from mmengine.logging import MMLogger
from mmssl.engine.vis_backends import (
    LocalVisBackend, OptionalTensorboardVisBackend, forgive_log)

folder, size = sys.argv[1], 4096
logger = MMLogger.get_instance('full', log_file=folder + '/run.log', logger_name='full')
forgive_log(logger)
backends = [LocalVisBackend(save_dir=folder), OptionalTensorboardVisBackend(save_dir=folder)]
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # as a disk that is full from there on
for step in range(300):
    logger.info('a line of the log')
    for backend in backends:
        backend.add_scalars({'loss': 1.0 / (step + 1), 'other': 2.0}, step=step)
for backend in backends:
    backend.close()
print('went on')
"""


@pytest.mark.slow
def test_a_full_disk_under_log_curves_and_event_files(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', FULL, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0 and 'went on' in done.stdout, text
    assert 'Traceback' not in text and 'Logging error' not in text and 'ignored' not in text
    assert text.count('warning: the log') == 1
    for name in ('LocalVisBackend', 'OptionalTensorboardVisBackend'):
        assert text.count(f'{name} could not write to') == 1


def test_one_line_is_lost_and_the_next_are_whole(tmp_path, monkeypatch):
    backend = LocalVisBackend(save_dir=str(tmp_path / 'vis_data'))
    from mmengine.visualization import vis_backend

    dump = vis_backend.dump

    def fill(value, file, file_format):
        file.write(json.dumps(value)[:9])
        raise OSError(28, 'No space left on device')

    for step in (1, 2, 3, 4):
        with monkeypatch.context() as patch:
            patch.setattr(vis_backend, 'dump', fill if step == 2 else dump)
            backend.add_scalars({'loss': float(step)}, step=step)
    assert read_scalars(tmp_path)['loss'] == {1: 1.0, 3: 3.0, 4: 4.0}


@pytest.mark.parametrize('on_error', ['stop', 'continue'])
def test_a_folder_that_vanishes_is_one_line(tmp_path, on_error):
    from mmengine.hooks import Hook

    class Move(Hook):
        def after_train_iter(self, runner, **kwargs):
            if runner.iter == 5:
                Path(runner.work_dir).rename(tmp_path / 'moved')

    options = {
        'default_hooks.checkpoint.on_write_error': on_error,
        'visualizer': dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
    }
    runner = RUNNERS.build(config(tmp_path / 'run', **options))
    runner.register_hook(Move())
    with pytest.raises(OSError, match='the folder is gone: removed, renamed or unmounted') as error:
        runner.train()
    assert '\n' not in str(error.value) and not (tmp_path / 'run').exists()
