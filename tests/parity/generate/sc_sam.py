"""Recompute the reference of SC-SAM (vnlvi2k3/SC-SAM, commit a9257cd).

    git clone https://github.com/vnlvi2k3/SC-SAM /tmp/SC-SAM
    git -C /tmp/SC-SAM checkout a9257cd
    pip install einops timm
    python -m tests.parity.generate.sc_sam /tmp/SC-SAM [--check]

An iteration of `trainer_cotraining.py` at a rate of 0, on images and labels of the recipe, with a
ViT of width 32 and depth 3 at 64 px. The points that it draws are kept.
"""

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch

from tests.parity.generate import cli, released
from tests.parity.generate.know_sam import STUBS, run, small_sam
from tests.parity.know_sam_parts import ARGS, SALT

ITERATION = 4
TERMS = (
    'UNet_sup_loss',
    'UNet_enp_loss',
    'UNet_unsup_loss',
    'sam_sup_loss',
    'sam_unsup_loss',
    'unsup_weight',
    'UNet_loss',
    'sam_loss',
)


def of(folder: Path) -> dict:
    """Return the reference."""
    script = released.load_script(folder / 'trainer_cotraining.py')
    script.sam_model_registry = dict(vit_b=small_sam)
    args = SimpleNamespace(**ARGS, sam_checkpoint=None)
    trainer, drawn, sample = script.Trainer(args), [], script.sample_points_from_mask

    def keep(*args, **kwargs):
        drawn.append(sample(*args, **kwargs))
        return drawn[-1]

    script.sample_points_from_mask = keep
    networks = dict(sam=trainer.sam_model, SGDL=trainer.Unet)
    shapes = {part: released.fill(network, SALT) for part, network in networks.items()}
    torch.manual_seed(0)
    step = run(script, trainer, networks, TERMS, ITERATION)
    points = dict(
        zip(
            ('coords', 'labels'), (torch.stack(x, 1) for x in zip(*drawn, strict=True)), strict=True
        )
    )
    return dict(shapes=shapes) | step.pop('maps') | step | points


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(args.checkout, STUBS) as folder, mock.patch('logging.info'):
        results = of(folder)
    released.save('sc_sam', results, args.check)


if __name__ == '__main__':
    main()
