"""Turn SynFoC's released U-Net and LoRA checkpoints into one mmssl checkpoint.

python tools/model_converters/synfoc_to_mmssl.py UNET.pth LORA.pth OUT.pth --trunk medsam_vit_b
"""

import io
import sys
from pathlib import Path

import torch
from torch import Tensor

from mmssl.models.sam.released_names import sam_from_released, unet_from_released
from mmssl.models.weights import FILE, file_sha256, find_weights, fingerprint, load_tensors
from mmssl.utils.cli import Parser, run
from mmssl.utils.io import write_atomic


def convert(
    unet: dict[str, Tensor], lora: dict[str, Tensor], trunk: bytes | None = None
) -> dict[str, Tensor]:
    """Return a state dict for the students `unet` and `sam` of an mmssl model.

    Args:
        unet: the released U-Net's state dict.
        lora: the released LoRA file: adapters, prompt encoder and mask decoder.
        trunk: fingerprint of the frozen trunk the LoRA was trained on, None if unknown.

    Raises:
        ValueError: a tensor belongs to neither network.
    """
    state = {f'students.unet.{k}': v for k, v in unet_from_released(unet).items()}
    state.update({f'students.sam.{k}': v for k, v in sam_from_released(lora).items()})
    if trunk is not None:
        raw = torch.tensor(list(trunk), dtype=torch.uint8)
        state['students.sam.backbone.identity.trunk_fingerprint'] = raw
    return {name: value.contiguous().clone() for name, value in state.items()}


def main(argv: list[str] | None = None) -> int:
    """Convert the two files and return the exit status."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('unet', type=Path, metavar='UNET.pth')
    parser.add_argument('lora', type=Path, metavar='LORA.pth')
    parser.add_argument('out', type=Path, metavar='OUT.pth')
    parser.add_argument(
        '--trunk',
        help='the weights the LoRA was trained on (a name such as medsam_vit_b, or a path); '
        'their SHA-256 goes into the checkpoint, so that another trunk is refused',
    )
    args = parser.parse_args(argv)
    try:
        trunk = None
        if args.trunk:
            trunk = fingerprint(FILE, file_sha256(find_weights(args.trunk)))
        state = convert(load_tensors(args.unet), load_tensors(args.lora), trunk)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    file = io.BytesIO()
    torch.save({'meta': {'converted_from': 'SynFoC'}, 'state_dict': state}, file)
    write_atomic(args.out, file.getvalue())
    print(f'{args.out}: {len(state)} tensors, {sum(v.numel() for v in state.values()):,} values')
    return 0


if __name__ == '__main__':
    run(main)
