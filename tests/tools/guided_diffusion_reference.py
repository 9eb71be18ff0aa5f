"""Write tests/tools/data/guided_diffusion.npz from the original code.

    PYTHONPATH=CLONE_OF_GUIDED_DIFFUSION python tests/tools/guided_diffusion_reference.py

For three small networks the file holds the names and shapes of the parameters, the output, and a
part of the activations of some output blocks. Weights and inputs come from the recipe of
tests/parity, so they need no storing.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / 'parity'))
from recipe import recipe

FILE = Path(__file__).parent / 'data' / 'guided_diffusion.npz'
BLOCKS = (1, 2, 4, 5, 7)
COMMON = dict(
    image_size=32, in_channels=1, model_channels=32, num_res_blocks=2, channel_mult=(1, 2, 2)
)
CASES = {
    'effective': dict(
        out_channels=1, attention_resolutions=(2, 4), num_heads=4, use_scale_shift_norm=True
    ),
    'yaml': dict(
        out_channels=2,
        attention_resolutions=(4,),
        num_head_channels=32,
        use_scale_shift_norm=True,
        resblock_updown=True,
    ),
    'plain': dict(
        out_channels=1,
        attention_resolutions=(2,),
        num_head_channels=16,
        use_new_attention_order=True,
    ),
}


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Return two noisy images and their time steps."""
    return recipe('x', (2, 1, 32, 32), 'guided_diffusion') * 32, torch.tensor([50, 250])


def part(x: torch.Tensor) -> np.ndarray:
    """Return every eighth channel and every fourth pixel of an activation."""
    return x[:, ::8, ::4, ::4].detach().numpy()


def main() -> None:
    """Run the original networks."""
    from guided_diffusion.unet import UNetModel

    arrays, shapes = {}, {}
    for case, options in CASES.items():
        model = UNetModel(**COMMON, **options).eval()
        shapes[case] = {k: list(v.shape) for k, v in model.state_dict().items()}
        model.load_state_dict({k: recipe(k, tuple(s), case) for k, s in shapes[case].items()})
        for block in BLOCKS:
            model.output_blocks[block].register_forward_hook(
                lambda m, i, x, key=f'{case}/{block}': arrays.update({key: part(x)})
            )
        arrays[f'{case}/output'] = model(*inputs()).detach().numpy()
    np.savez_compressed(FILE, shapes=json.dumps(shapes), **arrays)


if __name__ == '__main__':
    main()
