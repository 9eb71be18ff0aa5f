"""How much memory the largest volumes take."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from identity import GREY

RUN = Path(__file__).with_name('run_predict.py')
GIB = 2**30


@pytest.mark.slow
def test_a_large_ct(tmp_path):
    """512 x 512 x 600 voxels of two bytes, of which the process holds a bounded share."""
    slab = np.zeros((512, 512, 1), np.int16)
    slab[100:400, 120:420] = GREY
    slab[200:300, 200:260] = 2 * GREY
    scan = np.broadcast_to(slab, (512, 512, 600))
    image = nibabel.Nifti1Image(scan, np.diag([0.7, 0.7, 1.0, 1]))
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / 'ct.nii')
    image = scan = None
    process = subprocess.Popen(
        [sys.executable, str(RUN), 'm.mmssl', 'ct.nii', 'out', '--largest', 'all', '--overlay'],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == 'darwin' else 1024
    peak = used.ru_maxrss * unit / GIB
    assert process.returncode == 0 and peak < 3, f'{peak:.2f} GiB'
    print(f'{peak:.2f} GiB at most')
