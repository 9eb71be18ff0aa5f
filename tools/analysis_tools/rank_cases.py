"""Rank unlabelled cases by what a label of theirs is worth to a model: what to label next."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmssl.ranking.options import add_ranking_arguments, parse_measures
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.io import write_atomic

BUNDLE = '.mmssl'
EXAMPLES = """examples:
  python tools/analysis_tools/rank_cases.py configs/cps/lite_acdc.py \\
      work_dirs/cps/lite_acdc/iter_2000.pth --number 5
  python tools/analysis_tools/rank_cases.py model.mmssl scans --labelled labelled_scans \\
      --case-pattern '(?P<case>patient\\d+)_.*' --balance

POOL is a folder of images, in which what is called a mask or label is left out; without it the
unlabelled training images of the config are ranked. No mask of the pool is opened. OUT gets
ranking.csv, ranking.html and labelled.list, which has what is labelled and the next N cases.
exit codes: 1 an image could not be read, or something is to be set right; 130 interrupted."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        usage='%(prog)s MODEL [CHECKPOINT] [POOL] [options]',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        'words',
        nargs='+',
        metavar='MODEL [CHECKPOINT] [POOL]',
        help='a bundle (.mmssl), or a config and its checkpoint; a folder of images',
    )
    add('--out', type=Path, help='folder of what is written (default: work_dirs/ranking/...)')
    add('--number', type=at_least(1), default=10, help='how many cases to label next (default 10)')
    add_ranking_arguments(parser)
    add('--labelled', type=Path, metavar='FOLDER', help='images that have labels, beside a POOL')
    add(
        '--case-pattern', metavar='REGEX', help='group "case" is the patient in a file name of POOL'
    )
    add('--domain', help='whose options are used for POOL, where domains are not read alike')
    add('--pictures', type=at_least(0), default=60, help='cases with pictures (default 60)')
    add('--batch-size', type=at_least(1), default=8, help='images at a time (default 8)')
    add('--device', help='cpu, cuda, cuda:1 (default: cuda where there is one)')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    bundle = args.words[0].lower().endswith(BUNDLE)
    least = 1 if bundle else 2
    if not least <= len(args.words) <= least + 1:
        parser.error(
            f'{"a bundle" if bundle else "a config and its checkpoint"} may be followed by one '
            f'POOL, found {len(args.words)} words'
        )
    args.model = args.words[0]
    args.checkpoint = None if bundle else args.words[1]
    args.pool = args.words[least] if len(args.words) > least else None
    for option in ('labelled', 'case_pattern', 'domain'):
        if args.pool is None and getattr(args, option) is not None:
            parser.error(f'--{option.replace("_", "-")} is about a folder: name one as POOL')
    return args


def default_out(args: argparse.Namespace) -> Path:
    """Return the folder of what is written, where none is named."""
    from mmssl.utils.setup import default_folder

    if args.pool is not None:
        return Path('work_dirs', 'ranking', Path(args.pool).resolve().name or 'root')
    return default_folder(args.model, 'ranking')


def main(argv: Sequence[str] | None = None) -> int:
    """Rank and write; return 1 if a case could not be read."""
    args = parse_args(argv)
    weights = parse_measures(args.measures)
    import torch
    from tqdm import tqdm

    from mmssl import ranking
    from mmssl.apis import init_model
    from mmssl.ranking.page import write_page

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    model = init_model(args.model, args.checkpoint, device, args.cfg_options or None)
    if args.pool is None:
        pool = ranking.of_config(model.cfg)
    else:
        pool = ranking.of_folder(
            model.cfg, args.pool, args.labelled, args.case_pattern, args.domain
        )
    choice = ranking.Choice(args.number, args.diversity, args.balance)
    with tqdm(total=len(pool.images), desc='rank', unit='image') as bar:
        found = ranking.rank(
            model, pool, choice, weights, args.slices, args.batch_size, 2 if args.pictures else 0,
            bar.update,
        )  # fmt: skip
    out = args.out or default_out(args)
    title = f'What to label next: {args.pool or args.model}'
    write_atomic(out / 'ranking.csv', found.csv())
    write_atomic(out / 'labelled.list', '\n'.join(found.names()) + '\n')
    write_page(out / 'ranking.html', title, found, args.pictures)
    return report(found, out, args.pool is None)


def report(found: Any, out: Path, in_config: bool) -> int:
    """Print the first cases and what to do with the list; return 1 if a case was left out."""
    import sys

    from mmssl.utils import tables

    header, *lines = found.table()
    shown = [line for line in lines if line[1] == 'yes']
    print(f'\nLabel these {len(shown)} of {len(lines)} cases next:')
    print(tables.text([header, *shown], 4))
    for note in found.notes:
        print(f'note: {note}')
    print(f'\nranking.csv, ranking.html and labelled.list are in {out.resolve()}')
    if in_config:
        several = len(found.pool.domains) > 1
        place = 'train_dataloader.dataset.labelled'
        rest = f' {place}.domain=all' if several else ''
        print(
            'Once they are labelled, train with --cfg-options '
            f'{place}.list={(out / "labelled.list").resolve()} {place}.num=None '
            f'{place}.cases=None {place}.ratio=None{rest}'
        )
    for case in found.failed:
        print(f'error: {case.domain}/{case.name} is left out: {case.error}', file=sys.stderr)
    return int(bool(found.failed))


if __name__ == '__main__':
    run(main)
