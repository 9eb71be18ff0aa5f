"""Recompute the reference of SAMed and SAMed_s (hitachinsk/SAMed, commit e351840).

    git clone https://github.com/hitachinsk/SAMed /tmp/SAMed
    git -C /tmp/SAMed checkout e351840
    python -m tests.parity.generate.samed /tmp/SAMed [--check]

Three steps of `trainer.py` with AdamW and a warm-up of two steps, on the inputs of
`tests/parity/data/samed.npz`, with an encoder of width 32 and depth 3 at 64 px that `build_sam.py`
reads from a checkpoint of 128 px. What that leaves random, and LoRA, take the recipe's weights.
"""

import importlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from scipy.ndimage import zoom

from tests.parity.generate import cli, released
from tests.parity.recipe import recipe

STUBS = (
    'tensorboardX',
    'icecream',
    'medpy',
    'SimpleITK',
    'imageio',
    'h5py',
    'safetensors',
    'einops',
    'datasets',
)
MODULES = dict(samed='sam_lora_image_encoder', samed_s='sam_lora_image_encoder_mask_decoder')
ENCODER = dict(
    encoder_embed_dim=32, encoder_depth=3, encoder_num_heads=2, encoder_global_attn_indexes=[2]
)
SIDE, CLASSES, STEPS = 64, 3, 3
ARGS = dict(
    base_lr=0.005,
    num_classes=CLASSES - 1,
    batch_size=2,
    n_gpu=1,
    root_path='',
    list_dir='',
    img_size=SIDE,
    seed=0,
    warmup=True,
    warmup_period=2,
    AdamW=True,
    max_epochs=2,
    stop_epoch=2,
    dice_param=0.8,
)


def batches(arrays: dict) -> list[dict]:
    """Return the batches as the script's loader gives them, not augmented."""
    found = []
    for i in range(STEPS):
        image = torch.from_numpy(arrays[f'in{i}_x_w']).double() / 255
        label = torch.from_numpy(arrays[f'in{i}_y'])
        low = zoom(label.numpy(), (1, 0.25, 0.25), order=0)
        found.append(
            dict(
                image=image.repeat(1, 3, 1, 1),
                label=label.long(),
                low_res_label=torch.from_numpy(low).long(),
            )
        )
    return found


def network(arrays: dict, name: str) -> torch.nn.Module:
    """Return SAM with LoRA, and with the recipe's weights where the checkpoint gives none."""
    shapes = json.loads(str(arrays['shapes_file']))
    file = {k: recipe(k, tuple(s), 'samed/file') for k, s in shapes.items()}
    with mock.patch.object(torch, 'load', lambda opened: file):
        sam, _ = importlib.import_module('segment_anything.build_sam')._build_sam(
            **ENCODER,
            num_classes=CLASSES - 1,
            image_size=SIDE,
            pixel_mean=[0, 0, 0],
            pixel_std=[1, 1, 1],
            checkpoint=os.devnull,
        )
    model = importlib.import_module(MODULES[name]).LoRA_Sam(sam, 4)
    own = dict(sam.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for key, shape in json.loads(str(arrays[f'{name}_random'])).items():
            own[key].copy_(recipe(key, tuple(shape), 'samed/random'))
    return model


def parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the parameters of SAM, LoRA's among them, by their names in it."""
    return {k.removeprefix('sam.'): p for k, p in model.named_parameters()}


def of(folder: Path, name: str) -> dict:
    """Return the reference of one of the two."""
    arrays = dict(np.load(released.DATA / 'samed.npz'))
    script = released.load_script(folder / 'trainer.py')
    model = network(arrays, name)
    own = parameters(model)
    learning = [key for key, p in own.items() if p.requires_grad]
    steps = released.train(
        script,
        lambda: script.trainer_synapse(SimpleNamespace(**ARGS), model, '.', True, SIDE // 4),
        [batches(arrays)],
        [model],
    )
    first, grads = steps[0]['outputs'], steps[0]['grads'][0]
    results = dict(
        logits=first['low_res_logits'][..., ::3, ::3].detach(),
        masks=first['masks'][..., 5::16, 5::16].detach(),
        grads={key.removeprefix('sam.'): norm for key, norm in grads.items()},
        rates=[step['lr'] for step in steps],
        final={key: own[key].detach().norm().item() for key in learning},
    )
    terms = released.pick(steps, 'loss', 'loss_ce', 'loss_dice')
    results |= {f'terms{i}': row for i, row in enumerate(terms)}
    return {f'{name}_{key}': value for key, value in results.items()}


def main() -> None:
    """Recompute both."""
    args = cli.parse(__doc__)
    with released.checkout(args.checkout, STUBS) as folder, mock.patch('logging.basicConfig'):
        results = of(folder, 'samed') | of(folder, 'samed_s')
    released.save('samed', results, args.check)


if __name__ == '__main__':
    main()
