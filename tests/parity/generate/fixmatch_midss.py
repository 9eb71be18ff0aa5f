"""Recompute the reference of FixMatch with a teacher (MQinghe/MiDSS, commit fd76f81).

    git clone https://github.com/MQinghe/MiDSS /tmp/MiDSS
    git -C /tmp/MiDSS checkout fd76f81
    python -m tests.parity.generate.fixmatch_midss /tmp/MiDSS [--check]

No script of this baseline is public: two steps are put together from what `train.py` has, on the
inputs of `tests/parity/data/fixmatch_midss.npz`, from iteration 60 of 100.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released
from tests.parity.generate.symgd import STUBS, SmallUNet

START, ITERATIONS, CLASSES, THRESHOLD, LR = 60, 100, 3, 0.6, 0.03


def network(role: str) -> tuple[nn.Module, dict[str, list[int]]]:
    """Return the authors' blocks with the recipe's weights, and the shapes of its tensors."""
    unet = SmallUNet(1)
    unet.outc.conv = nn.Conv2d(6, CLASSES, 1)
    return unet, released.fill(unet, f'fixmatch_midss{role}', outc__conv__weight=3)


def two_steps(code: Path) -> dict:
    """Return the reference."""
    arrays, script = (
        np.load(released.DATA / 'fixmatch_midss.npz'),
        released.load_script(code / 'train.py'),
    )
    (student, shapes), (teacher, _) = network(''), network('_teacher')
    optimizer = torch.optim.SGD(student.parameters(), LR, momentum=0.9, weight_decay=1e-4)
    cross_entropy = nn.CrossEntropyLoss(reduction='none')
    dice = script.losses.DiceLossWithMask(CLASSES)
    results = dict(shapes=shapes)
    for i in range(2):
        t = START + i
        x, u, us = (released.scale(arrays[f'in{i}_{key}']) for key in ('x_w', 'u_w', 'u_s'))
        y = torch.from_numpy(arrays[f'in{i}_y']).long()
        with torch.no_grad():
            confidence, label = teacher(u).softmax(1).max(1)
        mask = (confidence > THRESHOLD).double().unsqueeze(1)
        labelled, strong = student(x), student(us)
        sup = cross_entropy(labelled, y).mean() + dice(labelled, y.unsqueeze(1), softmax=True)
        unsup = (cross_entropy(strong, label) * mask.squeeze(1)).mean() + dice(
            strong, label.unsqueeze(1), mask=mask, softmax=True
        )
        weight = script.get_current_consistency_weight(
            t // (ITERATIONS / script.args.consistency_rampup)
        )
        loss = sup + weight * unsup
        optimizer.zero_grad()
        loss.backward()
        lr = optimizer.param_groups[0]['lr']
        results[f'grads{i}'] = {k: p.grad.norm().item() for k, p in student.named_parameters()}
        results[f'terms{i}'] = [
            sup.item(),
            unsup.item(),
            loss.item(),
            weight,
            lr,
            mask.mean().item(),
        ]
        optimizer.step()
        script.update_ema_variables(student, teacher, script.args.ema_decay, t)
        optimizer.param_groups[0]['lr'] = LR * (1 - t / ITERATIONS) ** 0.9
    return results | dict(
        final=dict(student=released.norms(student), teacher=released.norms(teacher))
    )


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        results = two_steps(code)
    released.save('fixmatch_midss', results, args.check)


if __name__ == '__main__':
    main()
