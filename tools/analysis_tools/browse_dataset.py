"""Write what the networks will see: every view, the mask, the paste boxes, each network's size.

Usage: python tools/analysis_tools/browse_dataset.py CONFIG [--split test] [--number 16]
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from tqdm import tqdm

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.reading import DataError
from mmssl.engine.loops import seed_everything
from mmssl.models.strategies.mixing import box_mask, paste
from mmssl.registry import DATA_SAMPLERS, DATASETS, MODELS
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.file_names import file_names
from mmssl.utils.resize import as_size, resize_nearest
from mmssl.utils.setup import default_folder, load_config
from mmssl.visualization.overlay import draw_overlay, in_a_row, panel, write_image
from mmssl.visualization.planes import as_picture

FRAME = (255, 220, 0)
GAP = 4  # white pixels between panels
KIND = {'w': 'weak', 's': 'strong', 's2': 'strong'}
"""What the views are called whose names do not say it."""
BOXES = {'box': 'u_s', 'box2': 'u_s2'}
"""The view into which something is pasted in each box."""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Write what the networks will see.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--out-dir', help='folder of the pictures (work_dirs/browse/METHOD/CONFIG)')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--number', type=at_least(1), default=16, help='pictures to write')
    parser.add_argument('--start-iter', type=at_least(0), default=0, help='first iteration')
    parser.add_argument('--height', type=at_least(8), default=256, help='of a panel in pixels')
    parser.add_argument(
        '--no-check', action='store_true', help='do not read all masks for unknown values first'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def to_image(view: torch.Tensor) -> np.ndarray:
    """Turn (C, H, W) into an RGB picture (H, W, 3), (C, D, H, W) into one of three planes."""
    picture = np.moveaxis(view.numpy(), 0, -1)
    if picture.ndim == 4:
        return as_picture(picture)
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def masked(view: torch.Tensor, classes: torch.Tensor, palette: list) -> np.ndarray:
    """Return a view with the colours of its classes; a volume is cut in the middle of these."""
    if view.dim() < 4:
        return overlay(to_image(view), classes.numpy(), palette)
    if view.shape[1:] != classes.shape:
        view = resize_nearest(view, classes.shape)
    return as_picture(np.moveaxis(view.numpy(), 0, -1), classes.numpy(), palette)


def overlay(image: np.ndarray, classes: np.ndarray, palette: list) -> np.ndarray:
    """Lay the colours of the classes over a picture, which is brought to their size."""
    if image.shape[:2] != classes.shape:
        image = cv2.resize(image, classes.shape[::-1], interpolation=cv2.INTER_AREA)
    return draw_overlay(image, classes, palette)


def sized(title: str, shape: Sequence[int], picture: np.ndarray) -> tuple[str, np.ndarray]:
    """Return a panel, whose title says how large what it shows is, columns first."""
    return f'{title} {"x".join(map(str, reversed(shape)))}', picture


def own_sizes(view: torch.Tensor, label: torch.Tensor | None, sizes: dict, palette: list) -> list:
    """Return the panels of each network's own resolution."""
    panels = []
    for name, size in sizes.items():
        image = view
        if size.get('image'):
            image = resize_nearest(view, as_size(size['image'], view.dim() - 1))
        panels.append(sized(f'{name} input', image.shape[1:], to_image(image)))
        if label is not None:
            target = label
            if size.get('label'):
                target = resize_nearest(label, as_size(size['label'], label.dim()))
            panels.append(sized(f'{name} target', target.shape, masked(image, target, palette)))
    return panels


def augment(steps: Sequence[Mapping], labelled: list[dict], unlabelled: list[dict]) -> None:
    """Change the images of a batch as `data_preprocessor.batch_augments` says."""
    groups = [group for group in (labelled, unlabelled) if group]
    batch = {
        key: torch.stack([sample['inputs'][key] for sample in group])
        for group in groups
        for key in filter(is_image, group[0]['inputs'])
    }
    for step in steps:
        batch = MODELS.build(dict(step))(batch)
    for group in groups:
        for number, sample in enumerate(group):
            inputs = sample['inputs']
            for key in filter(is_image, inputs):
                view = batch[key][number]
                inputs[key] = view.round().to(inputs[key].dtype) if view.dim() == 3 else view


def draw_labelled(sample: dict, sizes: dict, palette: list) -> list:
    """Return the panels of a labelled training sample."""
    inputs = sample['inputs']
    panels = []
    for view in filter(is_image, inputs):
        picture, mask = to_image(inputs[view]), view.replace('x_', 'y_').removesuffix('_w')
        panels.append(sized(title_of(view), inputs[view].shape[1:], picture))
        if mask in inputs:
            drawn = masked(inputs[view], inputs[mask], palette)
            panels.append(sized(f'mask {mask}', inputs[mask].shape, drawn))
    return panels + own_sizes(inputs['x_w'], inputs['y'], sizes, palette)


def draw_unlabelled(sample: dict, partner: dict | None, sizes: dict, palette: list) -> list:
    """Return the panels of an unlabelled training sample; `partner`, if any, is pasted into it."""
    inputs = sample['inputs']
    panels = [
        sized(title_of(view), x.shape[1:], to_image(x))
        for view, x in inputs.items()
        if is_image(view)
    ]
    last = inputs.get('u_s', inputs['u_w'])
    for key, view in BOXES.items() if partner is not None else ():
        if key not in inputs:
            continue
        view = view if view in inputs else 'u_w'
        last, box = inputs[view], inputs[key]
        panels.append(sized(f'{key} of {view}', last.shape[1:], framed(last, box)))
        mask = box_mask(box[None], last.shape[1:])
        patch = partner['inputs'].get(view, partner['inputs'].get('x_w'))
        last = paste(last[None], patch[None], mask)[0]
        panels.append(sized(f'{view} pasted', last.shape[1:], to_image(last)))
    return panels + own_sizes(last, None, sizes, palette)


def is_image(view: str) -> bool:
    """Return whether an entry of a training sample is an image."""
    return view.startswith(('x_', 'u_')) and not view.endswith(('_grid', '_maps'))


def title_of(view: str) -> str:
    """Return the title of a view's picture.

    Example:
        >>> title_of('u_s2'), title_of('u_mild')
        ('strong u_s2', 'u_mild')
    """
    kind = KIND.get(view.partition('_')[2])
    return f'{kind} {view}' if kind else view


def framed(view: torch.Tensor, box: torch.Tensor) -> np.ndarray:
    """Return a picture of a view with a frame around its box, if it has one."""
    if view.dim() == 4:
        return masked(view, box_mask(box[None], view.shape[-3:])[0, 0].byte(), [[0] * 3, FRAME])
    picture = to_image(view).copy()
    *edges, side = box.tolist()
    x, y, w, h = (round(edge * view.shape[-1] / side) for edge in edges)
    if w and h:
        cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), FRAME, 2)
    return picture


def partners(labelled: list[dict], unlabelled: list[dict]) -> list[dict | None]:
    """Return for each unlabelled sample of a batch what is pasted into it.

    With a box for each of two strong views the samples are pairs, of which the second is pasted
    into the first; otherwise a labelled sample is.
    """
    if unlabelled and 'box2' in unlabelled[0]['inputs']:
        pasted = [*unlabelled[1:], None]
        return [None if number % 2 else sample for number, sample in enumerate(pasted)]
    if not labelled:
        return [None] * len(unlabelled)
    return [labelled[number % len(labelled)] for number in range(len(unlabelled))]


def draw_test(sample: dict, sizes: dict, palette: list) -> list:
    """Return the panels of a test sample."""
    view = sample['inputs']
    label = sample['data_samples'].gt_sem_seg.data[0]
    panels = [
        sized('image', view.shape[1:], to_image(view)),
        sized('mask', label.shape, masked(view, label, palette)),
    ]
    return panels + own_sizes(view, None, sizes, palette)


def pictures(
    cfg, dataset: MixedDomainDataset, args: argparse.Namespace
) -> Iterator[tuple[str, dict, list]]:
    """Yield (what, metainfo, panels) of the samples, in training those of each batch."""
    palette = dataset.metainfo['palette']
    model = cfg.get('model') or {}
    preprocessor = model.get('data_preprocessor') or {}
    sizes = preprocessor.get('sizes') or {}
    if args.split != 'train':
        step = max(1, len(dataset) // args.number)
        for index in range(0, len(dataset), step):
            sample = dataset[index]
            yield args.split, sample['data_samples'].metainfo, draw_test(sample, sizes, palette)
        return
    sampler_cfg = cfg.train_dataloader.get('batch_sampler') or dict(type='SemiSampler')
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    sampler = DATA_SAMPLERS.build(
        {**sampler_cfg, 'dataset': dataset, 'seed': seed, 'start_iter': args.start_iter}
    )
    for draws in sampler:
        iteration = f'iter{draws[0].iteration:05d}'
        labelled, unlabelled = (
            [dataset[draw] for draw in draws if draw.labelled == kind] for kind in (True, False)
        )
        if steps := preprocessor.get('batch_augments'):
            seed_everything(seed, draws[0].iteration, 0, 1)  # as `SemiTrainLoop` does
            augment(steps, labelled, unlabelled)
        for number, sample in enumerate(labelled):
            panels = draw_labelled(sample, sizes, palette)
            yield f'{iteration}_labelled{number}', sample['data_samples'].metainfo, panels
        pasted = partners(labelled, unlabelled)
        for number, (sample, partner) in enumerate(zip(unlabelled, pasted, strict=True)):
            panels = draw_unlabelled(sample, partner, sizes, palette)
            yield f'{iteration}_unlabelled{number}', sample['data_samples'].metainfo, panels


def check_masks(dataset: MixedDomainDataset) -> list[str]:
    """Read every mask that may be read and return what is wrong with them."""
    faults = []
    for index in tqdm(dataset.labelled_indices, 'reading masks', leave=False):
        try:
            dataset.read_mask(index)
        except (DataError, FileNotFoundError) as error:
            faults.append(str(error))
    return faults


def main() -> int:
    """Write the pictures; return 1 if a file is at fault."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope') or 'mmssl')
    loader = cfg.get(f'{args.split}_dataloader')
    if not loader:
        print(f'error: {args.config} has no {args.split}_dataloader.', file=sys.stderr)
        return 1
    out_dir = Path(args.out_dir or default_folder(args.config, 'browse'))
    try:
        dataset = DATASETS.build({**loader['dataset'], 'cache': False})
        faults = [] if args.no_check else check_masks(dataset)
        if faults:
            print('\n'.join(faults[:20]), file=sys.stderr)
            print(f'error: {len(faults)} mask(s) cannot be used.', file=sys.stderr)
            return 1
        out_dir.mkdir(parents=True, exist_ok=True)
        number = min(args.number, len(dataset)) if args.split != 'train' else args.number
        source = pictures(cfg, dataset, args)
        for count in tqdm(range(number), 'drawing'):
            what, info, panels = next(source)
            name = next(iter(file_names([(what, info['domain'], info['name'])]).values()))
            titled = [panel(image, title, args.height) for title, image in panels]
            write_image(out_dir / f'{count:03d}_{name}.png', in_a_row(titled, GAP))
    except (ValueError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{number} pictures in {out_dir.resolve()}')
    return 0


if __name__ == '__main__':
    run(main)
