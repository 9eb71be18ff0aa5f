"""Recompute the reference of KnowSAM (taozh2017/KnowSAM, commit 5ceef5a).

    git clone https://github.com/taozh2017/KnowSAM /tmp/KnowSAM
    git -C /tmp/KnowSAM checkout 5ceef5a
    pip install einops timm
    python -m tests.parity.generate.know_sam /tmp/KnowSAM [--check]

Two iterations of `trainer.py`, one before and one after the exchange of patches begins, at a rate
of 0, on images and labels of the recipe, with a ViT of width 32 and depth 3 at 64 px. The mask
prompt, which the script makes 64 px wide for images of 256, is 16 px wide here.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.parity.generate import cli, released
from tests.parity.know_sam_parts import ARGS, SALT, SIDE, images, labels

STUBS = ('medpy', 'cv2', 'matplotlib', 'hausdorff', 'skimage', 'h5py')
ENCODER = dict(
    encoder_embed_dim=32, encoder_depth=3, encoder_num_heads=2, encoder_global_attn_indexes=[1]
)
PROMPT = (
    "size=(64, 64), mode='bilinear')\n                # masks=None,\n",
    f"size=({SIDE // 4}, {SIDE // 4}), mode='bilinear')\n                # masks=None,\n",
)
TERMS = (
    'fusion_loss',
    'sam_sup_loss',
    *(
        f'{net}_{term}_loss'
        for net in ('UNet', 'VNet')
        for term in ('sup', 'cons', 'enp', 'kd', 'sup_mixed')
    ),
    'fusion_mixed_loss',
    'SGDL_loss',
    'consistency_weight',
)


def small_sam(args: SimpleNamespace, checkpoint: None = None):
    """Build the released SAM at a small size, without a weight file."""
    builder = importlib.import_module('Model.sam.build_sam')
    with tempfile.TemporaryDirectory() as folder:
        torch.save({}, f'{folder}/none.pth')
        return builder._build_sam(args, **ENCODER, checkpoint=f'{folder}/none.pth')


def run(script, trainer, networks: dict, names: tuple[str, ...], iteration: int) -> dict:
    """Return terms, gradients and maps of an iteration.

    Args:
        script: of `load_script`.
        trainer: its trainer.
        networks: of which the gradients are kept.
        names: of the script's variables that are terms.
        iteration: which.
    """
    found: dict = {}

    def keep(optimizer, args, kwargs) -> None:
        frame = sys._getframe()
        while frame.f_code.co_filename != script.__file__:
            frame = frame.f_back
        seen = frame.f_locals
        found['terms'] = {k: float(seen[k]) for k in names if k in seen}
        found['maps'] = {
            k: seen[k].detach()[:, :, ::8, ::8] for k in ('fusion_map', 'pred_sam') if k in seen
        }

    handle = register_optimizer_step_pre_hook(keep)
    trainer.train(images(), labels(), iteration)
    handle.remove()
    grads = {
        f'{part}.{name}': p.grad.norm().item()
        for part, network in networks.items()
        for name, p in network.named_parameters()
        if p.grad is not None
    }
    return found | dict(grads=grads)


def of(folder: Path) -> dict:
    """Return the reference."""
    script = released.load_script(folder / 'trainer.py', replace=dict([PROMPT]))
    script.sam_model_registry = dict(vit_b=small_sam)
    trainer = script.Trainer(SimpleNamespace(**ARGS))
    networks = dict(sam=trainer.sam_model, SGDL=trainer.SGDL)
    results: dict = {
        'shapes': {part: released.fill(network, SALT) for part, network in networks.items()}
    }
    for name, iteration in (('first', 4), ('second', 8)):
        step = run(script, trainer, networks, TERMS, iteration)
        results |= {f'{name}_{key}': value for key, value in step.pop('maps').items()}
        results |= {f'{name}_{key}': value for key, value in step.items()}
    return results


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(args.checkout, STUBS) as folder, mock.patch('logging.info'):
        results = of(folder)
    released.save('know_sam', results, args.check)


if __name__ == '__main__':
    main()
