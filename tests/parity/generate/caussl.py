"""Recompute the reference of CauSSL (JuzhengMiao/CauSSL, commit 23b1904).

    git clone https://github.com/JuzhengMiao/CauSSL /tmp/CauSSL
    git -C /tmp/CauSSL checkout 23b1904
    python -m tests.parity.generate.caussl /tmp/CauSSL [--check]

Iteration 540 of both scripts, with its phase of the maps and without a step of the networks, whose
V-Nets have 2 filters and give the logits of `tests/parity/data/caussl.npz`, a slice, whatever they
see. The same iteration of CPSCauSSL on 2 + 2 patches, whose logits the V-Nets make, is
`caussl_ct.npz`.
"""

import importlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released, volumes
from tests.parity.recipe import recipe

STUBS = (*volumes.STUBS, 'test_util_CT')
# of each form: script, its class of networks, number of networks, and of maps
FORMS = dict(cps=('CPSCauSSL', 'VNet', 2, 2), mc=('MCCauSSL', 'VNet_mct', 1, 3))
START = 540


def run(script, batch: dict) -> dict:
    """Return the variables of the script's main part after one iteration."""
    script.DataLoader = lambda *args, **kwargs: released.Loader([batch])
    for name in ('os', 'shutil', 'logging', 'CTdataset', 'SummaryWriter'):
        setattr(script, name, mock.MagicMock())
    try:
        # the networks stay, as the second loss needs the kernels that the first step would change
        with mock.patch.object(torch.optim.SGD, 'step', lambda self: None):
            script.main()
    except released.Finished as end:
        return end.__traceback__.tb_next.tb_frame.f_locals
    raise RuntimeError('the script ended before its batches did')


def numbers(seen: dict, name: str, count: int) -> list[float]:
    """Return the variables `name1` to `name<count>`."""
    return [float(seen[f'{name}{i + 1}'].detach()) for i in range(count)]


def norms_of_gradients(networks: Sequence[nn.Module]) -> list[dict[str, float]]:
    """Return the norms of the gradients of each network's kernels, 0 where there is none."""
    return [
        {
            k: 0.0 if p.grad is None else p.grad.norm().item()
            for k, p in network.named_parameters()
            if p.dim() == 5
        }
        for network in networks
    ]


def load(code: Path, file: str, maps: int):
    """Return a script with the recipe's numbers in its linear maps."""
    start = {'\n    iter_num = 0\n': f'\n    iter_num = {START}\n'}
    script = released.load_script(code / f'train_CT_{file}.py', replace={**volumes.MAIN, **start})
    made = itertools.count()

    def initialize(self) -> None:
        layer, i = divmod(next(made), maps)
        self.paras.data = 1e-3 * recipe(f'paras{i + 1}.{layer}', tuple(self.paras.shape), 'caussl')

    script.Linear_vector.initialize = initialize
    return script


def on_patches(code: Path) -> dict:
    """Return the reference of a whole step of CPSCauSSL."""
    script = load(code, 'CPSCauSSL', 2)
    vnet = importlib.import_module('networks.vnet').VNet
    networks, shapes = volumes.small(vnet, ('caussl1', 'caussl2'), has_dropout=True)
    given = iter(networks)
    script.VNet = lambda **kwargs: next(given)
    seen = run(script, volumes.batch('caussl', 0))
    return dict(
        shapes=shapes,
        weight=seen['consistency_weight'],
        terms=[
            *(numbers(seen, 'supervised_loss', 2)),
            *(numbers(seen, 'consistency_dist', 2)),
            *(numbers(seen, 'icm_loss', 2)),
            sum(numbers(seen, 'loss', 2)),
        ],
        grads=[
            {k: 0.0 if p.grad is None else p.grad.norm().item() for k, p in n.named_parameters()}
            for n in networks
        ],
    )


def of(code: Path, form: str) -> dict:
    """Return the reference of one form."""
    file, kind, count, maps = FORMS[form]
    arrays = np.load(released.DATA / 'caussl.npz')
    script = load(code, file, maps)
    logits = [
        torch.from_numpy(arrays[f'{form}_logits{i + 1}']).double().unsqueeze(-1)
        for i in range(maps)
    ]
    y = torch.from_numpy(arrays[f'{form}_y']).long().unsqueeze(-1)
    networks = [
        getattr(importlib.import_module('networks.vnet'), kind)(
            n_channels=1, n_classes=2, n_filters=2, normalization='batchnorm'
        )
        for _ in range(count)
    ]
    for i, network in enumerate(networks):
        shapes = released.fill(network, f'caussl{i + 1}')
        given_logits = logits[i] if count == maps else logits
        network.forward = lambda x, z=given_logits: z
    given = iter(networks)
    setattr(script, kind, lambda **kwargs: next(given))
    seen = run(script, dict(image=torch.zeros(4, 1), label=torch.cat([y, torch.zeros_like(y)])))
    before = {
        call.args[0]: float(call.args[1])
        for call in seen['writer'].add_scalar.mock_calls
        if call.args[0].endswith('_max') and call.args[2] == 1
    }
    after = numbers(seen, 'icm_loss', maps)
    total = sum(numbers(seen, 'loss', 2)) if form == 'cps' else float(seen['loss'].detach())
    unsup = (
        numbers(seen, 'consistency_dist', 2)
        if form == 'cps'
        else [float(seen['consistency_dist'].detach())]
    )
    rest = total - sum(numbers(seen, 'supervised_loss', maps))
    results = dict(
        before=list(before.values()),
        after=after,
        terms=[*unsup, *after, rest],
        weight=seen['consistency_weight'],
        grads=norms_of_gradients(networks),
        shapes={k: shape for k, shape in shapes.items() if len(shape) == 5},
        weights=[script.get_current_consistency_weight(t // 150) for t in range(0, 5000, 250)],
    )
    return {f'{form}_{key}': value for key, value in results.items()}


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(args.checkout, STUBS) as code:
        results = of(code, 'cps') | of(code, 'mc')
        step = on_patches(code)
    released.save('caussl', results, args.check)
    released.save('caussl_ct', step, args.check)


if __name__ == '__main__':
    main()
