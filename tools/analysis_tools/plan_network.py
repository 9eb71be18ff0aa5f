"""Plan a DynUNet for the volumes of a config as nnU-Net's planner does, and print it as a config.

Usage: python tools/analysis_tools/plan_network.py CONFIG [--memory 8]
"""

import argparse
import contextlib
import sys
from collections.abc import Mapping

from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options
from mmssl.utils.setup import load_config, register_all_modules

TEMPLATE = """planned_patch = {patch}
model = dict(
    students=dict(
        dynunet=dict(
{student}        ),
    ),
    inferer=dict(type='SlidingWindow', size=planned_patch, overlap=0.5, weights='gaussian'),
)"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description="Plan a network for volumes by nnU-Net's rules.")
    parser.add_argument('config', help='config file with a training set of volumes')
    parser.add_argument(
        '--memory', type=float, default=8.0, help='of the GPU in GiB, as nnU-Net counts (8)'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def measure(cfg: Mapping) -> tuple[list, list, int]:
    """Return spacing and shape of all training volumes as they are read, and the classes.

    A file that does not say its spacing has cubic voxels of 1 mm.

    Raises:
        ValueError: the training set is not one of volumes.
    """
    from tqdm import tqdm

    from mmssl.registry import DATASETS

    own = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    steps = dict(prepare=[dict(type='LoadVolume')], cache=False, lazy_init=True)
    dataset = DATASETS.build({**own, **steps, 'labelled_pipeline': [], 'unlabelled_pipeline': []})
    if getattr(dataset, 'sample', None) != 'volume':
        raise ValueError(
            "train_dataloader.dataset gives no volumes: set sample='volume' there, or name a "
            'config of volumes'
        )
    dataset.full_init()
    spacings, shapes = [], []
    for index in tqdm(range(len(dataset)), 'measuring'):
        found = dataset[index]
        spacings.append(tuple(found['spacing'] or (1.0, 1.0, 1.0)))
        shapes.append(tuple(found['img'].shape[:3]))
    return spacings, shapes, len(dataset.metainfo['classes'])


def main() -> int:
    """Measure the volumes, plan, and print a config of the model."""
    args = parse_args()
    register_all_modules()
    import numpy as np

    from mmssl.models.volumetric.plan import plan

    with contextlib.redirect_stdout(sys.stderr):  # what is printed is a config
        spacings, shapes, classes = measure(load_config(args.config, args.cfg_options))
    planned = plan(spacings, shapes, classes, args.memory)
    median = [round(float(n), 2) for n in np.median(np.array(shapes), 0)]
    print(f'# {len(shapes)} volumes, median {median} voxels')
    print(f'# for voxels of {[round(n, 3) for n in planned.spacing]} mm (Resample in prepare)')
    print(f'# {planned.batch_size} patches a step')
    student = ''.join(f'            {k}={v!r},\n' for k, v in planned.student.items())
    print(TEMPLATE.format(patch=planned.patch_size, student=student))
    return 0


if __name__ == '__main__':
    run(main)
