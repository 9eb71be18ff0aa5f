"""Look at a data set: what is there, whether its domains differ, and what is wrong with its files.

Usage: python tools/analysis_tools/inspect_data.py CONFIG_OR_FOLDER [--out-dir FOLDER]

It ends with 1 if a file cannot be read or an image is in two parts of the split.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from mmssl.utils import tables
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.io import write_atomic
from mmssl.utils.setup import default_folder, load_config, register_all_modules


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Look at a data set: its domains, its masks and its faults.')
    parser.add_argument('input', help='config file, or a folder of images')
    parser.add_argument('--out-dir', help='folder of page and table (work_dirs/inspect/...)')
    parser.add_argument('--number', type=at_least(1), default=4, help='examples of each domain')
    parser.add_argument(
        '--limit', type=at_least(1), help='look at most at so many images of a domain and part'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Look, print the tables and write the page; return 1 if something is wrong."""
    from mmssl import inspection
    from mmssl.inspection import findings

    args = parse_args()
    register_all_modules()
    if Path(args.input).is_dir():
        folder = Path(args.input).resolve().name or 'root'
        out_dir = Path(args.out_dir or Path('work_dirs', 'inspect', folder))
        collected = inspection.of_folder(args.input)
    else:
        out_dir = Path(args.out_dir or default_folder(args.input, 'inspect'))
        collected = inspection.of_config(load_config(args.input, args.cfg_options))
    collected.thinned(args.limit)
    found = inspection.find(collected, lambda entries: tqdm(entries, 'looking', unit='image'))
    titled = {
        'Domains': (findings.domain_table(found), 1),
        'Grey levels': (findings.distance_table(found), 2),
        'Parts': (findings.part_table(found, collected.parts), 2),
    }
    shown = {title: pair for title, pair in titled.items() if len(pair[0]) > 1}
    for title, (rows, left) in shown.items():
        print(f'\n{title}\n{tables.text(rows, left)}')
    for note in found.notes:
        print(f'\n{note}')
    if found.repeated:
        print(f'\n{found.repeated} images equal another one of the same part.')
    text = '\n'.join(f'## {t}\n\n{tables.markdown(*pair)}\n' for t, pair in shown.items())
    write_atomic(out_dir / 'table.md', text)
    inspection.write_page(
        out_dir / 'inspection.html', f'{args.input}', collected, found, args.number
    )
    for kind, sentences in (
        ('fault', found.faults), ('in two parts of the split', found.duplicates),
    ):  # fmt: skip
        for sentence in sentences[:20]:
            print(f'{kind}: {sentence}', file=sys.stderr)
        if len(sentences) > 20:
            print(f'{kind}: {len(sentences) - 20} more, see the page', file=sys.stderr)
    print(f'\n{len(found.facts)} images; page and table in {out_dir.resolve()}')
    return int(found.wrong)


if __name__ == '__main__':
    run(main)
