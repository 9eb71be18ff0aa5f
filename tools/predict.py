"""Write the masks that a trained model sees in images, volumes and DICOM series."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.processes.signals import signals

BUNDLE = '.mmssl'
EXAMPLES = """examples:
  python tools/predict.py model.mmssl scans masks
  python tools/predict.py configs/synfoc/prostate.py work_dirs/synfoc/prostate/iter_60000.pth \\
      scan.nii.gz mask.nii.gz --ensemble --tta flips
  python tools/predict.py model.mmssl dicom_folder masks --largest all --overlay --uncertainty

INPUT is an image file, a folder with images and DICOM series at any depth, or a list (.txt) of
paths. OUTPUT is a folder, or, for one image, may be the mask itself. NIfTI gives NIfTI, DICOM gives
a DICOM segmentation, NRRD gives NRRD, TIFF gives TIFF, HDF5 gives HDF5 and a picture gives PNG,
each lying where its image lies. volumes.csv has the size of every part; labels.json, and labels.txt
for ITK-SNAP, say what the values mean. What is done is not done again: repeat the command to go on.
exit codes: 1 an image could not be predicted, or something is to be set right; 130 interrupted."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        usage='%(prog)s MODEL [CHECKPOINT] INPUT OUTPUT [options]',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        'words',
        nargs='+',
        metavar='MODEL [CHECKPOINT] INPUT OUTPUT',
        help='a bundle (.mmssl), or a config and its checkpoint ("none" for a model without '
        'training); what to predict; where to write',
    )
    add('--student', help="whose prediction is written (default: the model's first)")
    add('--teacher', action='store_true', help='ask the teacher in place of the student')
    add('--ensemble', action='store_true', help='the mean of all students (or teachers)')
    add(
        '--tta',
        choices=('none', 'flips', 'turns', 'all'),
        default='none',
        help='test-time augmentation: the mean over mirrored and turned images (4, 4, 8 passes)',
    )
    add('--smooth', action='store_true', help='edges without steps where images are reduced')
    add('--largest', nargs='+', default=[], metavar='PART', help='keep the largest component')
    add('--fill-holes', nargs='+', default=[], metavar='PART', help='of these parts, or "all"')
    add(
        '--min-size',
        nargs='+',
        default=[],
        metavar='[PART=]MM3',
        help='drop smaller components, in mm^3 (mm^2 of a picture; voxels without a spacing)',
    )
    add('--probabilities', action='store_true', help='write the probabilities of the classes')
    add('--uncertainty', action='store_true', help='write entropy and disagreement of all networks')
    add('--overlay', action='store_true', help='write pictures of the masks on their images')
    add('--truth', type=Path, metavar='FOLDER', help='masks to compare with, by Dice')
    add('--batch-size', type=at_least(1), default=8, help='slices at a time (default 8)')
    add('--device', help='cpu, cuda, cuda:1 (default: cuda where there is one)')
    add('--amp', action='store_true', help='half precision where the device computes it well')
    add('--domain', help='whose options are used, where the domains are not read alike')
    add('--frame', type=at_least(0), help='which volume of a file of several, from 0')
    add('--series', help='which series of a DICOM folder: UID, number or description')
    add(
        '--value-range',
        metavar='RANGE',
        help='intensities that become 0 and 255, LOW,HIGH or "volume" (of each file), in place of '
        "the config's: for raw files and a model trained on prepared images",
    )
    add('--overwrite', action='store_true', help='throw away what OUTPUT holds of other settings')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    bundle = args.words[0].lower().endswith(BUNDLE)
    names = ['MODEL', *([] if bundle else ['CHECKPOINT']), 'INPUT', 'OUTPUT']
    if len(args.words) != len(names):
        parser.error(
            f'{"a bundle" if bundle else "a config"} is followed by {" ".join(names[1:])}, '
            f'found {len(args.words) - 1} more word(s)'
        )
    args.model, args.input, args.output = args.words[0], Path(args.words[-2]), Path(args.words[-1])
    args.checkpoint = None if bundle else args.words[1]
    return args


def min_sizes(words: Sequence[str]) -> dict[str, float]:
    """Read `[PART=]NUMBER`.

    Raises:
        ValueError: a word has no number of at least 0.
    """
    found = {}
    for word in words:
        name, _, number = word.rpartition('=')
        try:
            size = float(number)
        except ValueError:
            size = -1.0
        if not 0 <= size < float('inf'):
            raise ValueError(f'--min-size "{word}" must be MM3 or PART=MM3, as in tumour=50')
        found[name or 'all'] = size
    return found


def value_range(text: str | None) -> tuple[float, float] | str | None:
    """Read `volume` or `LOW,HIGH`.

    Raises:
        ValueError: the text is neither.
    """
    if text in (None, 'volume'):
        return text
    try:
        low, high = (float(word) for word in text.split(','))
    except ValueError:
        raise ValueError(
            f'--value-range "{text}" must be volume or LOW,HIGH, as in --value-range=-1000,1000'
        ) from None
    return low, high


def open_model(args: argparse.Namespace) -> tuple[Any, dict[str, str]]:
    """Return the model and what identifies it.

    Raises:
        ValueError: a model that learns is to do without a checkpoint.
    """
    import torch

    from mmssl.apis import init_model
    from mmssl.models.weights import file_sha256

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    options = {**({'test_cfg.fp16': 'half'} if args.amp else {}), **(args.cfg_options or {})}
    untrained = args.checkpoint == 'none'
    model = init_model(args.model, None if untrained else args.checkpoint, device, options or None)
    if untrained and any(weight.requires_grad for weight in model.parameters()):
        raise ValueError(f'The networks of "{args.model}" are trained: name a checkpoint, not none')
    if model.precision.wish:
        print(f'Precision: {model.precision.name}: {model.precision.why}')
    weights = '' if untrained else file_sha256(args.checkpoint or args.model)[:16]
    return model, {
        'model': f'{args.model} {weights}'.rstrip(),
        'cfg_options': str(sorted(options.items())),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Predict; return 1 if an image could not be."""
    args = parse_args(argv)
    signals.listen()
    from mmssl.apis.prediction import Predictor, Wishes
    from mmssl.apis.prediction.cleaning import Cleaning
    from mmssl.apis.prediction.folder import Extras, PredictionFolder
    from mmssl.apis.prediction.inputs import find_items
    from mmssl.utils.processes.folder_lock import lock_folder

    single = is_mask(args.output)
    if not single and args.output.exists() and not args.output.is_dir():
        raise ValueError(
            f'Output "{args.output}" is a file, and no mask by its name: name a folder'
        )
    items = find_items(args.input, None if single else args.output)
    model, identity = open_model(args)
    predictor = Predictor(
        model,
        Wishes(
            args.student,
            args.teacher,
            args.ensemble,
            args.tta,
            args.smooth,
            Cleaning(args.largest, args.fill_holes, min_sizes(args.min_size)),
            args.probabilities,
            args.uncertainty,
            args.batch_size,
            args.domain,
            args.frame,
            args.series,
            value_range(args.value_range),
        ),
    )
    if single:
        return write_one(args, predictor, items)
    with lock_folder(args.output):
        folder = PredictionFolder(
            args.output,
            predictor,
            items,
            Extras(args.overlay, args.truth, args.overwrite),
            identity,
        )
        return write_all(folder, predictor)


def is_mask(output: Path) -> bool:
    """Tell whether the output is named as a file and is not a folder that is there."""
    from mmssl.datasets.reading import known_suffixes

    suffixes = (*known_suffixes(), '.dcm')
    return output.name.lower().endswith(suffixes) and not output.is_dir()


def write_one(args: argparse.Namespace, predictor: Any, items: Sequence[Any]) -> int:
    """Predict one image into a mask of the user's name.

    Raises:
        ValueError: there are several images, or more is asked for than the mask.
    """
    from mmssl.writing import mask_suffix

    extra = [
        f'--{name.replace("_", "-")}'
        for name in ('probabilities', 'uncertainty', 'overlay', 'truth')
        if getattr(args, name)
    ]
    if len(items) > 1 or extra:
        why = f'{len(items)} images are' if len(items) > 1 else f'{extra[0]} is'
        raise ValueError(f'"{args.output}" is one mask, and {why} asked for: name a folder')
    [(_, found)] = predictor.stream([items[0].image])
    if isinstance(found, Exception):
        raise found
    suffix = mask_suffix(found.file)
    if not args.output.name.lower().endswith(suffix) and (suffix, args.output.suffix) != (
        '.nii', '.gz',
    ):  # fmt: skip
        raise ValueError(
            f'The mask of "{items[0].name}" is a file {suffix}: name it so in place of '
            f'"{args.output.name}", or name a folder'
        )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.resolve() == Path(str(items[0].image.path)).resolve():
        raise ValueError(f'The mask would overwrite the image "{args.output}": choose another name')
    found.save(args.output)
    for part, size in found.sizes().items():
        measured = {'ml': size.volume_ml, 'mm^2': size.area_mm2}
        much = [f'{value:.4g} {unit}' for unit, value in measured.items() if value is not None]
        print(f'{part}: {", ".join([*much, f"{size.voxels} voxels"])}')
    print(*found.notes, f'Wrote {args.output}', sep='\n')
    return 0


def write_all(folder: Any, predictor: Any) -> int:
    """Predict all images into a folder, with a bar, and list those that failed."""
    from tqdm import tqdm

    from mmssl.apis.prediction.folder import on_a_line

    waiting = folder.waiting()
    before = len(folder.items) - len(waiting)
    if before:
        print(f'{before} of {len(folder.items)} images are done before')
    total = sum(slices_of(item, predictor) for item in waiting)
    with tqdm(total=total, desc='predict', unit='slice', disable=not waiting) as bar:
        failed = folder.run(bar.update)
    print(folder.summary())
    for note in folder.notes():
        print(f'note: {note}', file=sys.stderr)
    print(f'{len(folder.items) - len(failed)} of {len(folder.items)} masks are in {folder.folder}')
    if failed:
        print(f'error: {len(failed)} image(s) could not be predicted:', file=sys.stderr)
        for name, why in failed.items():
            print(f'  {on_a_line(name)}: {why}', file=sys.stderr)
    return int(bool(failed))


def slices_of(item: Any, predictor: Any) -> int:
    """Return the number of slices of an image, 1 where it cannot be read."""
    try:
        return len(predictor.pipeline.parts(*item.image))
    except Exception:  # it is told when its turn comes
        return 1


if __name__ == '__main__':
    run(main)
