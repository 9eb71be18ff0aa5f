"""Recompute the reference of DINOv2 with its DPT head (LiheYoung/UniMatch-V2, commit f6afb4d).

    git clone https://github.com/LiheYoung/UniMatch-V2 /tmp/UniMatch-V2
    git -C /tmp/UniMatch-V2 checkout f6afb4d
    python -m tests.parity.generate.dinov2 /tmp/UniMatch-V2 [--check]

`DPT` of `model/semseg/dpt.py`, narrow and of four blocks, with the weights of `recipe.py`: logits
and norms of the gradients on images of 3 x 4, 6 x 7 and 5 x 5 patches (the last is the size that
its positions are for); and the shapes of all tensors of the published small one.
"""

import functools
import importlib
from types import ModuleType

from torch import nn

from tests.parity.generate import cli, released
from tests.parity.recipe import recipe

ARCH = dict(embed_dims=24, depth=4, num_heads=2, out_indices=(0, 1, 2, 3), grid=5)
WIDTHS, CHANNELS, CLASSES = (6, 8, 10, 12), 8, 3
SIZES = {'smaller': (42, 56), 'larger': (84, 98), 'known': (70, 70)}


def narrow(dpt: ModuleType, vit: ModuleType) -> nn.Module:
    """Return a released `DPT` of a few weights."""
    network = dpt.DPT.__new__(dpt.DPT)
    nn.Module.__init__(network)
    network.backbone = vit.DinoVisionTransformer(
        img_size=14 * ARCH['grid'],
        patch_size=14,
        embed_dim=ARCH['embed_dims'],
        depth=ARCH['depth'],
        num_heads=ARCH['num_heads'],
        init_values=1.0,
        block_chunks=0,
        block_fn=functools.partial(vit.Block, attn_class=vit.MemEffAttention),
    )
    network.head = dpt.DPTHead(CLASSES, ARCH['embed_dims'], CHANNELS, False, list(WIDTHS))
    network.encoder_size = 'small'
    network.intermediate_layer_idx = dict(small=list(ARCH['out_indices']))
    return network


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(args.checkout):
        dpt = importlib.import_module('model.semseg.dpt')
        vit = importlib.import_module('model.backbone.dinov2')
        paper = dpt.DPT('small', CLASSES, 64, [48, 96, 192, 384])
        results: dict = dict(paper={k: list(v.shape) for k, v in paper.state_dict().items()})
        network = narrow(dpt, vit)
        results['shapes'] = released.fill(network, 'dinov2')
        for name, size in SIZES.items():
            logits = network(recipe(name, (2, 3, *size), 'images'))
            logits.square().sum().backward()
            # every third pixel of each axis keeps the file small
            results[name] = logits.detach()[..., ::3, ::3].numpy()
        results['grads'] = {
            k: p.grad.norm().item() for k, p in network.named_parameters() if p.grad is not None
        }
    released.save('dinov2', results, args.check)


if __name__ == '__main__':
    main()
