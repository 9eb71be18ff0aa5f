"""Every reference can be computed anew, and a check finds one that was not."""

from pathlib import Path

import numpy as np
import pytest

from tests.parity.generate import released

FOLDER = Path(released.__file__).parent


def test_every_reference_has_a_generator():
    code = ''.join(path.read_text() for path in FOLDER.glob('*.py'))
    names = [path.stem for path in released.DATA.glob('*.npz')]
    assert names
    assert [name for name in names if f"'{name}'" not in code] == []


def test_saved_results_stand_beside_the_inputs_and_a_check_compares_them(monkeypatch, tmp_path):
    monkeypatch.setattr(released, 'DATA', tmp_path)
    path = tmp_path / 'method.npz'
    np.savez_compressed(path, x=np.arange(3), loss=[0.0, 2.0])
    released.save('method', dict(loss=[1.0, 2.0], grads=dict(w=0.5)))
    arrays = dict(np.load(path))
    assert arrays['x'].tolist() == [0, 1, 2]
    assert arrays['loss'].tolist() == [1, 2]
    assert str(arrays['grads']) == '{"w": 0.5}'
    written = path.read_bytes()
    released.save('method', dict(loss=[1.0, 2.0], grads=dict(w=0.5)), check=True)
    for wrong in (dict(loss=[1.0, 2.0 + 1e-8]), dict(grads=dict(w=0.51)), dict(loss=[1.0])):
        with pytest.raises(SystemExit, match=r'method\.npz is not what'):
            released.save('method', wrong, check=True)
    assert path.read_bytes() == written
