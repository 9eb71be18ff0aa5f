"""Turn a released V-Net checkpoint (UA-MT, MC-Net, SS-Net, BCP, ...) into one of mmssl.

python tools/model_converters/vnet_to_mmssl.py RELEASED.pth OUT.pth --student vnet
"""

import io
import sys
from pathlib import Path

import torch

from mmssl.models.volumetric.released_names import vnet_from_released
from mmssl.models.weights import load_tensors
from mmssl.utils.cli import Parser, run
from mmssl.utils.io import write_atomic


def main(argv: list[str] | None = None) -> int:
    """Convert the file and return the exit status."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('released', type=Path, metavar='RELEASED.pth')
    parser.add_argument('out', type=Path, metavar='OUT.pth')
    parser.add_argument('--student', default='vnet', help='its name in the config (default: vnet)')
    args = parser.parse_args(argv)
    try:
        tensors = load_tensors(args.released)
        ours = vnet_from_released({k.removeprefix('module.'): v for k, v in tensors.items()})
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    state = {f'students.{args.student}.{k}': v.contiguous().clone() for k, v in ours.items()}
    file = io.BytesIO()
    torch.save({'meta': {'converted_from': 'V-Net'}, 'state_dict': state}, file)
    write_atomic(args.out, file.getvalue())
    print(f'{args.out}: {len(state)} tensors, {sum(v.numel() for v in state.values()):,} values')
    return 0


if __name__ == '__main__':
    run(main)
