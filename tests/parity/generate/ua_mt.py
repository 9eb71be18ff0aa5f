"""Recompute the 3D arrays of UA-MT's reference (yulequan/UA-MT, commit 88ed29a).

    git clone https://github.com/yulequan/UA-MT /tmp/UA-MT
    git -C /tmp/UA-MT checkout 88ed29a
    python -m tests.parity.generate.ua_mt /tmp/UA-MT [--check]

The terms of `train_LA_meanteacher_certainty_unlabel.py` at four iterations, on the networks'
outputs that `tests/parity/data/ua_mt.npz` holds, and its moving average; and two whole steps of it
on 2 + 2 patches with V-Nets of 2 filters (`ua_mt_la.npz`). The 2D arrays of `ua_mt.npz` are those
of `ssl4mis.py`.
"""

import importlib
import textwrap
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released, volumes
from tests.parity.volumes import SIZE

STUBS = ('tensorboardX', 'dataloaders', 'torchvision')
FILE = 'train_LA_meanteacher_certainty_unlabel.py'
FIRST, LAST = 'T = 8\n', 'consistency_loss = consistency_weight * consistency_dist\n'
SUPERVISED = '            loss_seg = ', '            consistency_weight = '
START = 3000  # of 6,000
ITERATIONS = (0, 1500, 3000, 5999)
TERMS = ('iter_num', 'consistency_weight', 'threshold', 'share', 'consistency_dist', 'level')


def lines(path: Path, size: tuple[int, ...]) -> str:
    """Return the unsupervised terms of the script's step, for volumes of another size."""
    source = path.read_text()
    source = source[
        source.rindex('\n', 0, source.index(FIRST)) + 1 : source.index(LAST) + len(LAST)
    ]
    start, end = map(source.index, SUPERVISED)
    source = source[:start] + source[end:]
    return textwrap.dedent(source).replace('112, 112, 80', ', '.join(map(str, size)))


def terms(code: Path, arrays: dict) -> list[list[float]]:
    """Return the terms at each iteration."""
    preds, student, teacher = (
        torch.from_numpy(arrays[f'la_{key}']).double() for key in ('preds', 'student', 'teacher')
    )
    step = compile(lines(code / FILE, student.shape[2:]), FILE, 'exec')
    rows = []
    for iteration in ITERATIONS:
        script = released.load_script(code / FILE)
        passes = iter(preds.chunk(4))
        names = dict(
            vars(script),
            iter_num=iteration,
            outputs=student,
            ema_output=teacher,
            labeled_bs=0,
            unlabeled_volume_batch=torch.zeros_like(student[:, :1]),
            ema_model=lambda x, passes=passes: next(passes),
            consistency_criterion=script.losses.softmax_mse_loss,
        )
        exec(step, names)
        names.update(share=names['mask'].mean(), level=names['uncertainty'].mean())
        rows += released.pick([names], *TERMS)
    return rows


def moved(code: Path, arrays: dict, iteration: int) -> np.ndarray:
    """Return the teacher's weights after an iteration in float32, as the reference holds them."""
    student, teacher = nn.Module(), nn.Module()
    for network, key in ((student, 'ema_student'), (teacher, 'ema_teacher')):
        network.weight = nn.Parameter(torch.from_numpy(arrays[key]).clone())
    released.load_script(code / FILE).update_ema_variables(student, teacher, 0.99, iteration)
    return teacher.weight.detach().numpy()


def steps(code: Path) -> dict:
    """Return the reference of two steps from the middle of a training."""
    size = ', '.join(map(str, SIZE))
    script = released.load_script(
        code / FILE,
        replace={
            **volumes.MAIN,
            '\n    iter_num = 0\n': f'\n    iter_num = {START}\n',
            'preds = torch.zeros([stride * T, 2, 112, 112, 80])': (
                f'preds = torch.zeros([stride * T, 2, {size}])'
            ),
            'preds.reshape(T, stride, 2, 112, 112, 80)': f'preds.reshape(T, stride, 2, {size})',
        },
    )
    vnet = importlib.import_module('networks.vnet').VNet
    networks, shapes = volumes.small(vnet, ('student', 'teacher'), has_dropout=True)
    batches = [volumes.batch('ua_mt', i) for i in range(2)]
    with volumes.quiet(script, networks, 'VNet'):
        seen = released.train(
            script,
            script.main,
            [batches],
            networks[:1],
            extra=lambda seen: dict(share=seen['mask'].mean()),
        )
    names = ('supervised_loss', 'consistency_dist', 'consistency_weight', 'loss', 'share')
    return dict(
        shapes=shapes,
        terms=released.pick(seen, *names),
        grads=seen[0]['grads'][0],
        student=released.norms(networks[0]),
        teacher=released.norms(networks[1]),
    )


def main() -> None:
    """Recompute the arrays."""
    args = cli.parse(__doc__)
    arrays = dict(np.load(released.DATA / 'ua_mt.npz'))
    with (
        released.checkout(Path(args.checkout, 'code'), STUBS) as code,
        mock.patch.dict('os.environ'),
    ):
        results = dict(la=terms(code, arrays))
        for iteration in (0, 1, 50, 500):
            results[f'ema_{iteration}'] = moved(code, arrays, iteration)
        of_steps = steps(code)
    released.save('ua_mt', results, args.check)
    released.save('ua_mt_la', of_steps, args.check)


if __name__ == '__main__':
    main()
