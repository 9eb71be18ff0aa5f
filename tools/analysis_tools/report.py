"""Write a page of what runs gave: scores, what is chance, the worst cases, curves, data."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import at_least
from mmssl.utils.errors import SettingError

EXAMPLES = """examples:
  python tools/analysis_tools/report.py work_dirs/synfoc/prostate
  python tools/analysis_tools/report.py work_dirs/benchmarks/sup_only/lite_acdc --published
  python tools/analysis_tools/report.py work_dirs/a work_dirs/b results.json --out both.html
  python tools/analysis_tools/report.py work_dirs/synfoc/prostate --watch

a RUN is the folder of a training (also of one that is under way, or ended badly), of a sweep or a
comparison of methods, a file of test.py --out, or a folder of test.py --save-cases; only the last
gives pictures and calibration. Runs that differ in their seed alone are one method."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('runs', nargs='+', metavar='RUN', help='what is shown; several stand side by side')
    add('--out', type=Path, help='the page (default: report.html in the folder of the first run)')
    add('--title', help='of the page')
    add('--published', action='store_true', help='add the published numbers of all methods')
    add(
        '--watch',
        nargs='?',
        type=at_least(1),
        const=30,
        metavar='SECONDS',
        help='write the page anew every so often (30) while runs go on; an open page follows',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    args = parse_args(argv)
    first = Path(args.runs[0])
    out = args.out or (first if first.is_dir() else first.parent) / 'report.html'
    if out.is_dir():
        raise SettingError(f'--out {out} is a folder; name a file, {out}/report.html')
    if out.suffix not in ('.html', '.htm'):
        raise SettingError(f'--out {out} must end in .html')
    try:
        import plotly  # noqa: F401, looked for before anything is read
    except ImportError:
        raise SettingError('a report needs plotly: pip install "mmssl[report]"') from None

    _write(args, out)
    if args.watch:
        _watch(args, out)


def _write(args: argparse.Namespace, out: Path) -> None:
    from mmssl.reports import write_report

    begin = time.monotonic()
    files = write_report(args.runs, out, args.title, args.published, args.watch or 0)
    print('Wrote', *files, sep='\n  ')
    print(f'{out.stat().st_size / 1e6:.1f} MB in {time.monotonic() - begin:.1f} s', flush=True)


def _watch(args: argparse.Namespace, out: Path) -> None:
    """Write the page anew until Ctrl-C; what is left then does not reload itself any more."""
    print(f'It is written anew every {args.watch} s; Ctrl-C ends this.', flush=True)
    try:
        while True:
            time.sleep(args.watch)
            try:
                _write(args, out)
            except OSError as error:  # a test just put other files in the place of the old ones
                print(f'not this time: {error}', flush=True)
    except KeyboardInterrupt:
        args.watch = None
        _write(args, out)


if __name__ == '__main__':
    run(main)
