"""Recompute the reference of H-SAM (Cccccczh404/H-SAM, commit 5bdf491).

    git clone https://github.com/Cccccczh404/H-SAM /tmp/H-SAM
    git -C /tmp/H-SAM checkout 5bdf491
    python -m tests.parity.generate.h_sam /tmp/H-SAM [--check]

Two steps of `trainer.py`, the second with the weight of epoch 120, on the labels of
`tests/parity/data/h_sam.npz`. `build_sam.py` makes decoders of 64 channels for 224 px and 512 px;
the recipe's embeddings take the encoder's place, its values that of the noise, and SGD has no
momentum.
"""

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from scipy.ndimage import zoom
from torch import nn

from tests.parity.generate import cli, released
from tests.parity.recipe import recipe, unit

STUBS = (
    'tensorboardX',
    'icecream',
    'batchgenerators',
    'medpy',
    'SimpleITK',
    'imageio',
    'einops',
    'datasets',
    'cv2',
    'scipy.misc',
)
CHANNELS, CLASSES, IMAGES = 64, 9, 2
ARGS = dict(
    base_lr=0.1,
    num_classes=CLASSES - 1,
    batch_size=IMAGES,
    n_gpu=1,
    root_path='',
    list_dir='',
    split='',
    seed=0,
    warmup=False,
    AdamW=False,
    max_epochs=1,
    stop_epoch=1,
    dice_param=0.9,
)
LATER = 120  # epoch of the second step


class Embeddings(nn.Module):
    """Take the encoder's place, and keep the embedding that the last images were given.

    Args:
        side: of the images.
        embedding: of every batch.
    """

    def __init__(self, side: int, embedding: torch.Tensor) -> None:
        super().__init__()
        self.img_size, self.embedding = side, embedding

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the embedding, and none of a lower layer."""
        self.given = self.embedding.clone().requires_grad_()
        return self.given, None


def network(folder: Path, side: int, salt: str) -> tuple[nn.Module, dict[str, list[int]]]:
    """Return SAM with both decoders and the recipe's weights, and the shapes of its tensors."""
    builder = released.load_script(
        folder / 'segment_anything' / 'build_sam.py',
        replace={
            'from .modeling import': 'from segment_anything.modeling import',
            'prompt_embed_dim = 256': f'prompt_embed_dim = {CHANNELS}',
        },
    )
    sam, grid = builder._build_sam(16, 0, 1, [], CLASSES - 1, side, [0, 0, 0], [1, 1, 1])
    sam.image_encoder = Embeddings(side, unit('embedding', (IMAGES, CHANNELS, grid, grid), salt))
    del sam.prompt_encoder2  # the other one, under a second name
    shapes = {name: list(tensor.shape) for name, tensor in sam.state_dict().items()}
    sam.load_state_dict({k: recipe(k, tuple(shape), salt) for k, shape in shapes.items()})
    return sam, shapes


def predictions(sam: nn.Module, images: torch.Tensor, side: int) -> dict:
    """Return a part of the logits before training, with their norm and mean."""
    sam.eval()
    with torch.no_grad():
        coarse, fine, *_ = sam(images, True, side, gt=None, mode='test')
    sam.train()
    stages = dict(
        coarse=coarse['low_res_logits'],
        fine=fine['low_res_logits'],
        stage3=(coarse['masks'] + fine['masks']) / 2,
    )
    results = {}
    for name, logits in stages.items():
        every = logits.shape[-1] // 7 + 1
        results[f'eval_{name}'] = logits[:, :, ::every, ::every]
        results[f'eval_{name}_norm'] = [logits.norm().item(), logits.mean().item()]
    return results


def watch(decoder: nn.Module, every: int) -> dict[str, torch.Tensor]:
    """Return what holds, after a step, a part of its first maps and of what becomes of them."""
    found = {}

    def keep_maps(module, args, kwargs) -> None:
        found.setdefault('maps', kwargs['q'][:, :, ::every].detach().clone())

    def keep_score(module, args, output) -> None:
        found.setdefault('score', output[:, ::every, 0].detach().clone())

    decoder.self_attn.register_forward_pre_hook(keep_maps, with_kwargs=True)
    decoder.med_sel.register_forward_hook(keep_score)
    return found


def of(folder: Path, side: int) -> dict:
    """Return the reference at one size."""
    salt, y = f'hsam{side}', np.load(released.DATA / 'h_sam.npz')[f'{side}_y']
    sam, shapes = network(folder, side, salt)
    batch = dict(
        image=torch.zeros(IMAGES, 3, side, side),
        label=torch.from_numpy(y).long(),
        low_res_label=torch.from_numpy(zoom(y, (1, 0.25, 0.25), order=0)).long(),
    )
    results = predictions(sam, batch['image'], side)
    maps = watch(sam.mask_decoder2, every=5 if side == 224 else 37)
    embedding = sam.image_encoder.embedding
    draws = {
        CLASSES: unit('map noise', (IMAGES, CLASSES, embedding[0, 0].numel()), salt),
        CHANNELS: unit('image noise', tuple(embedding.shape), salt),
    }
    script = released.load_script(
        folder / 'trainer.py',
        replace={
            '0.990**epoch_num': f'0.990**({LATER} * i_batch)',
            'momentum=0.9, weight_decay=0.0001': 'momentum=0',
        },
    )
    script.transforms = mock.Mock(Compose=lambda parts: lambda image: image)
    with mock.patch.object(torch, 'randn', lambda size: draws[size[1]]):
        steps = released.train(
            script,
            lambda: script.trainer_synapse(
                SimpleNamespace(img_size=side, **ARGS), sam, '.', True, side // 4
            ),
            [[batch, batch]],
            [sam],
            extra=lambda seen: dict(embedding=sam.image_encoder.given.grad.norm().item()),
        )
    own = dict(sam.named_parameters())
    grads = [
        {**dict.fromkeys(own), **step['grads'][0], 'embedding': step['embedding']} for step in steps
    ]
    results |= maps | dict(
        rows=released.pick(steps, 'loss1', 'loss2', 'weight', 'loss'),
        grads=grads,
        final={k: p.detach().norm().item() for k, p in own.items()},
        shapes=shapes,
    )
    return {f'{side}_{key}': value for key, value in results.items()}


def main() -> None:
    """Recompute both sizes."""
    args = cli.parse(__doc__)
    with released.checkout(args.checkout, STUBS) as folder, mock.patch('logging.basicConfig'):
        results = of(folder, 224) | of(folder, 512)
    released.save('h_sam', results, args.check)


if __name__ == '__main__':
    main()
