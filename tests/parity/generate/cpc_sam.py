"""Recompute the reference of CPC-SAM (JuzhengMiao/CPC-SAM, commit 8548b25).

    git clone https://github.com/JuzhengMiao/CPC-SAM /tmp/CPC-SAM
    git -C /tmp/CPC-SAM checkout 8548b25
    pip install scikit-image
    python -m tests.parity.generate.cpc_sam /tmp/CPC-SAM [--check]

Three iterations of `trainer_dualmask.py`, the first one before the cross prompting, on the labels
of `tests/parity/data/cpc_sam.npz` and images made of them, with a ViT of width 32 and depth 3 at
64 px and the recipe's weights. NumPy's seed 0 draws the points.
"""

import importlib
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.parity.generate import cli, released
from tests.parity.recipe import unit

STUBS = (
    'tensorboardX',
    'icecream',
    'ipdb',
    'medpy',
    'SimpleITK',
    'imageio',
    'einops',
    'h5py',
    'safetensors',
    'datasets',
    'val',
)
SIDE, CLASSES, SALT, ITERATIONS = 64, 4, 'cpc_sam', 3
ENCODER = dict(
    encoder_embed_dim=32, encoder_depth=3, encoder_num_heads=2, encoder_global_attn_indexes=[1]
)
ARGS = dict(
    base_lr=1e-3,
    num_classes=CLASSES - 1,
    batch_size=4,
    n_gpu=1,
    root_path='ACDC',
    labeled_num='1',
    img_size=SIDE,
    seed=0,
    warmup=True,
    warmup_period=2,
    AdamW=True,
    max_epochs=1,
    stop_epoch=1,
    dice_param=0.8,
    promptmode='point',
    warm_iter=1,
    coe=0.4,
    coe2=0.05,
    T=0.1,
)


def batches() -> list[dict]:
    """Return the batches, whose images are their labels with noise."""
    found = []
    for i, y in enumerate(torch.from_numpy(np.load(released.DATA / 'cpc_sam.npz')['labels'])):
        noise = unit(f'image{i}', (len(y), 1, SIDE, SIDE), SALT)
        x = (y[:, None].double() / 4 + 0.1 + 0.1 * noise).clamp(0, 1)
        found.append(dict(image=x.repeat(1, 3, 1, 1), label=y.long()))
    return found


def network() -> tuple[nn.Module, dict[str, list[int]]]:
    """Return SAM with LoRA and two decoders, and the shapes of its tensors."""
    builder = importlib.import_module('segment_anything.build_sam')
    sam, _ = builder._build_sam_dualmask_same_prompt_class_random_large(
        **ENCODER,
        num_classes=CLASSES - 1,
        image_size=SIDE,
        pixel_mean=[0, 0, 0],
        pixel_std=[1, 1, 1],
    )
    model = importlib.import_module('sam_lora_image_encoder_prompt').LoRA_Sam(sam, 4)
    return model, released.fill(model, SALT)


def norms_of(tensors: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return the norms of tensors."""
    return {name: value.detach().norm().item() for name, value in tensors.items()}


def prediction(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return a part of the mean of both decoders, as `utils.test_single_volume_mean` takes it."""
    model.eval()
    with torch.no_grad():
        outputs = model(images, True, SIDE)
    mean = (outputs['masks'].softmax(1) + outputs['masks2'].softmax(1)) / 2
    return mean[:, :, ::8, ::8]


def watch_points(sam: nn.Module) -> dict[str, list[torch.Tensor]]:
    """Return what holds, after the training, the maps that gave points, and these."""
    found = dict(maps=[], optimal=[], random=[], ids=[])
    make = sam.prompt_generate_random_fast

    def keep(logits: torch.Tensor, *args):
        (optimal, ids), (random, _), *rest = points = make(logits, *args)
        for name, value in dict(
            maps=logits.argmax(1).byte(), optimal=optimal, random=random, ids=ids.long()
        ).items():
            found[name].append(value.clone())
        return points

    sam.prompt_generate_random_fast = keep
    return found


def run(folder: Path, model: nn.Module, given: list[dict]) -> dict:
    """Train; return the rate and the gradients of each step, and all that the script writes."""
    script, found = released.load_script(folder / 'trainer_dualmask.py'), dict(lr=[], grads=[])

    def keep(optimizer, args, kwargs) -> None:
        found['lr'].append(optimizer.param_groups[0]['lr'])
        found['grads'].append(
            norms_of({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
        )

    script.DataLoader = lambda *args, **kwargs: released.Loader(given)
    script.SummaryWriter = mock.MagicMock()
    handle = register_optimizer_step_pre_hook(keep)
    np.random.seed(0)  # noqa: NPY002, of the script
    try:
        script.trainer_acdc_dualmask_prompt_ssl_fixcoe_random_new_mean_up(
            SimpleNamespace(**ARGS), model, '.', True, SIDE
        )
    except released.Finished:
        terms = {}
        for call in script.SummaryWriter.return_value.add_scalar.mock_calls:
            name, value, _ = call.args
            terms.setdefault(name.removeprefix('info/'), []).append(
                float(torch.as_tensor(value).detach())
            )
        return found | dict(terms=terms)
    finally:
        handle.remove()
    raise RuntimeError('the script ended before its batches did')


def of(folder: Path) -> dict:
    """Return the reference."""
    given, (model, shapes) = batches(), network()
    results = dict(shapes=shapes, mean=prediction(model, given[0]['image']))
    points = watch_points(model.sam)
    results |= run(folder, model, given)
    results |= {name: torch.stack(values) for name, values in points.items()}
    return results | dict(final=norms_of(dict(model.named_parameters())))


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(args.checkout, STUBS) as folder, mock.patch('logging.basicConfig'):
        results = of(folder)
    released.save('cpc_sam', results, args.check)


if __name__ == '__main__':
    main()
