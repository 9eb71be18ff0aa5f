"""Recompute the reference of UST-RUN (MQinghe/UST-RUN, commit 78203d7).

    git clone https://github.com/MQinghe/UST-RUN /tmp/UST-RUN
    git -C /tmp/UST-RUN checkout 78203d7
    python -m tests.parity.generate.ust_run /tmp/UST-RUN [--check]

Three steps of `train.py` from iteration 60 of 100 in its second epoch, on the inputs of
`tests/parity/data/symgd.npz` (those of the first step come again in the third), for Prostate and
Fundus, with the boxes and degrees of that file and the authors' U-Net blocks at width 6 and depth
2. Both as released and as described: there the logits of the hardest image are joined to the
others, for which the script sets a variable.
"""

import random
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from tests.parity.generate import cli, released, symgd

CEILING = dict(prostate=0.56, fundus=0.6)  # of the hardness, in place of 0.1
SIZES = dict(
    prostate={
        'patch_size = 384': 'patch_size = 32',
        'args.max_iterations = 60000': 'args.max_iterations = 100',
    },
    fundus={
        'num_channels = 3\n        patch_size = 256': 'num_channels, patch_size = 3, 32',
        'fillcolor = 255\n        args.max_iterations = 30000': (
            'fillcolor, args.max_iterations = 255, 100'
        ),
    },
)
STEPS = (0, 1, 0)  # whose inputs are taken


def of(code: Path, name: str, described: bool) -> dict:
    """Return the reference of one data set."""
    arrays = {
        k.removeprefix(f'{name}_'): v
        for k, v in np.load(released.DATA / 'symgd.npz').items()
        if k.startswith(name)
    }
    theta = CEILING[name]
    joined = 'logits_lq_s = logits_ul_lq = model(lq_s)'
    script = released.load_script(
        code / 'train.py',
        [f'--dataset={name}'],
        {
            '\n    iter_num = 0\n': '\n    iter_num = 60\n',
            '    start_epoch = 0\n': '    start_epoch = 1\n',
            '.astype(np.float32)': '',
            **SIZES[name],
            'choice_th = 0.1\n': f'choice_th = {theta}\n',
            'args.increase*choice_th, 0.1)': f'args.increase*choice_th, {theta})',
        }
        | ({'logits_lq_s = model(lq_s)': joined} if described else {}),
    )
    networks = [symgd.SmallUNet(arrays['in0_x_w'].shape[1]) for _ in range(2)]
    for network, role in zip(networks, ('', '_teacher'), strict=True):
        released.fill(network, f'symgd/{name}{role}', outc__conv__weight=3)
    given = iter(networks)
    labelled, unlabelled, boxes = symgd.batches(arrays, name)
    count = len(labelled[0]['image'])
    box = iter([one for i in STEPS for one in boxes[i * count : (i + 1) * count]])
    degree = iter(np.concatenate([arrays[f'rho{i}'] for i in STEPS]))
    for one in (*labelled, *unlabelled):
        one.update(img_name=[''] * count, dc=torch.ones(count).long())
    script.UNet = lambda **kwargs: next(given)
    script.obtain_cutmix_box = lambda **kwargs: next(box)
    script.train_data_path, script.dataset = '', mock.MagicMock()
    script.transforms = mock.MagicMock()
    vars(script.args).update(amp=0, threshold=0.6, LB=0.1, domain_num=1, num_eval_iter=50)
    loaders = [[batches[i] for i in STEPS] for batches in (labelled, unlabelled)]
    rng = np.random.default_rng(3)
    with (
        mock.patch.object(random, 'uniform', lambda low, high: high * next(degree)),
        mock.patch.multiple(np.random, randint=rng.integers, permutation=rng.permutation),
    ):
        steps = released.train(script, lambda: script.train(script.args, '.'), loaders, networks)
    results = dict(
        final=dict(zip(('student', 'teacher'), map(released.norms, networks), strict=True)),
    )
    for i, step in enumerate(steps):
        step.update(share=step['mask'].mean(), share_direct=step['mask_w'].mean())
        results |= {
            f'terms{i}': released.pick([step], *symgd.TERMS)[0],
            f'grads{i}': step['grads'][0],
            f'choice{i}': step['choice'],
            f'new_choice{i}': step.get('new_choice', -1),
            f'hardness{i}': step['hardness'],
            f'theta{i}': step['choice_th'],
            f'queue{i}': len(step['simple_ulb']),
        }
    kind = 'described' if described else 'released'
    return {f'{name}_{kind}_{key}': value for key, value in results.items()}


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    results = {}
    with released.checkout(Path(args.checkout), symgd.STUBS) as code:
        for name in CEILING:
            for described in (False, True):
                results |= of(code, name, described)
    released.save('ust_run', results, args.check)


if __name__ == '__main__':
    main()
