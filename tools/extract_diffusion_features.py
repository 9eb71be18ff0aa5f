"""Compute the diffusion features of all training slices once and keep them on disk."""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  python tools/extract_diffusion_features.py configs/mcsd/acdc.py
  python tools/extract_diffusion_features.py CONFIG --out work_dirs/features/acdc --amp
  torchrun --nproc_per_node 2 -m mmssl features CONFIG --launcher pytorch

Model, steps and blocks are those of model.neck, slices those of train_dataloader after its prepare
transforms, before any augmentation. An interrupted run goes on where it stopped; slices whose image
has changed are computed again. A folder with features of another model or of other options is
refused. Train from it with model.neck.cache_dir=DIR and
train_dataloader.dataset.head=[dict(type='LoadDiffusionFeatures', cache_dir=DIR),
dict(type='TrackGeometry')].

exit codes: 1 something to set right, 2 unknown component or option, 70 not foreseen (the message
names a file with the traceback), 130 interrupted"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from mmssl.utils.config.options import add_cfg_options, add_launcher

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of a method with a DiffusionFeatureNeck')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder of the cache (default: model.neck.cache_dir, else '
        'work_dirs/features/METHOD/CONFIG)',
    )
    parser.add_argument('--batch-size', type=int, default=8, help='slices in one pass (default 8)')
    parser.add_argument(
        '--amp', action='store_true', help='half precision where the device computes it well'
    )
    add_launcher(parser, 'with torchrun or srun: share the slices among the processes')
    add_cfg_options(parser)
    return parser.parse_args()


def build_neck(cfg):
    """Return the config's neck, without its cache.

    Raises:
        ValueError: the config has no `DiffusionFeatureNeck`.
    """
    from mmssl.models.diffusion import DiffusionFeatureNeck
    from mmssl.registry import MODELS

    neck_cfg = cfg.get('model', {}).get('neck')
    neck = MODELS.build({**neck_cfg, 'cache_dir': None}) if neck_cfg else None
    if not isinstance(neck, DiffusionFeatureNeck):
        raise ValueError(
            f'{cfg.filename} has no DiffusionFeatureNeck in model.neck, so there are no features '
            'to extract'
        )
    return neck.requires_grad_(False)


def build_slices(cfg):
    """Return the training slices after the config's `prepare` transforms."""
    from mmssl.datasets.prepared import PreparedSlices
    from mmssl.registry import DATASETS

    dataset_cfg = cfg.train_dataloader.dataset
    while 'prepare' not in dataset_cfg and 'dataset' in dataset_cfg:
        dataset_cfg = dataset_cfg.dataset
    prepare = [
        step for step in dataset_cfg.get('prepare', ()) if step['type'] != 'LoadDiffusionFeatures'
    ]
    own = dict(
        prepare=prepare,
        head=[],
        pipeline=[],
        labelled_pipeline=None,
        unlabelled_pipeline=None,
        cache=False,
    )
    return PreparedSlices(DATASETS.build({**dataset_cfg, **own}))


def missing_slices(cache, slices) -> list[int]:
    """Return which of this rank's slices are not in the cache yet."""
    from mmengine.dist import get_dist_info

    rank, world = get_dist_info()
    total, missing = len(slices), []
    samples = slices.dataset.samples
    for index in range(rank, total, world):
        there = cache.path(samples[index].domain, samples[index].name).exists()
        if there:
            results = slices[index]
            there = cache.has(results['domain'], results['name'], results['img'])
        if not there:
            missing.append(index)
    return missing


def announce(cache, total: int, missing: int) -> None:
    """Say how large the cache is going to be, before anything is computed.

    Raises:
        ValueError: it does not fit on the disk.
    """
    from mmengine.dist import broadcast_object_list, is_main_process

    spec = cache.spec
    free = [shutil.disk_usage(cache.folder).free]
    broadcast_object_list(free, src=0)
    if is_main_process():
        print(
            f'{total:,} slices of {spec.image_size} px, steps {list(spec.steps)}, blocks '
            f'{list(spec.blocks)}: {cache.slice_bytes:,} bytes a slice, '
            f'{size(total * cache.slice_bytes)} in all; {total - missing:,} are there, '
            f'{size(missing * cache.slice_bytes)} to write to {cache.folder}, '
            f'{size(free[0])} free.',
            flush=True,
        )
    if missing * cache.slice_bytes > free[0]:
        raise ValueError(
            f'{cache.folder} has room for {size(free[0])}, {size(missing * cache.slice_bytes)} '
            'are needed: choose another disk with --out, fewer steps or blocks, or compute the '
            'features online (no cache_dir).'
        )


def size(num_bytes: int) -> str:
    """Return a number of bytes in MB or GB."""
    return f'{num_bytes / 1e9:.2f} GB' if num_bytes >= 1e9 else f'{num_bytes / 1e6:.1f} MB'


def extract(neck, cache, slices, indices: list[int], batch_size: int, amp: bool) -> Iterator[int]:
    """Compute and write slices; give the number written after each batch."""
    import torch
    from mmengine.device import get_device

    from mmssl.datasets.prepared import image_batch
    from mmssl.engine.precision import choose
    from mmssl.models.diffusion.features import join_maps

    device = torch.device(get_device())
    precision = choose('half' if amp else 'float32', 'the features', device=device.type)
    for start in range(0, len(indices), batch_size):
        batch = [slices[index] for index in indices[start : start + batch_size]]
        with torch.no_grad(), precision.autocast():
            maps = neck.block_maps(image_batch(batch).to(device))
        for results, flat in zip(batch, join_maps(maps).cpu().numpy(), strict=True):
            cache.write(results['domain'], results['name'], flat, results['img'])
        yield len(batch)


def main() -> None:
    """Extract."""
    args = parse_args()
    if args.batch_size < 1:
        raise ValueError(f'--batch-size is {args.batch_size}; give 1 or more')
    from mmengine.dist import all_gather_object, barrier, is_main_process
    from tqdm import tqdm

    from mmssl.engine.hooks.progress_hook import progress_wanted
    from mmssl.engine.launch import init_distributed
    from mmssl.models.diffusion.cache import FeatureCache
    from mmssl.utils.dist import leave_group
    from mmssl.utils.setup import default_folder, load_config, register_all_modules

    cfg = load_config(args.config, args.cfg_options)
    register_all_modules()
    if args.launcher != 'none':
        init_distributed(args.launcher, dict(cfg.get('env_cfg', {}).get('dist_cfg') or {}))
    neck, slices = build_neck(cfg), build_slices(cfg)
    denoiser = neck.open()
    folder = args.out or cfg.model.neck.get('cache_dir')
    folder = Path(folder or default_folder(args.config, 'features'))
    if is_main_process():
        FeatureCache.create(folder, denoiser.sha256, denoiser.spec)
    barrier()
    cache = FeatureCache.create(folder, denoiser.sha256, denoiser.spec)
    indices = missing_slices(cache, slices)
    missing = sum(all_gather_object(len(indices)))
    announce(cache, len(slices), missing)
    with tqdm(total=len(indices), desc='slices of this process', unit='slice',
              disable=not progress_wanted()) as bar:  # fmt: skip
        for count in extract(neck, cache, slices, indices, args.batch_size, args.amp):
            bar.update(count)
    barrier()
    if is_main_process():
        done = 'was complete' if not missing else f'is complete: wrote {missing:,} slices'
        print(f'The feature cache {folder} {done}.')
    leave_group()


if __name__ == '__main__':
    run(main)
