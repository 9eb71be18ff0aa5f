"""Measure how much each way to choose a checkpoint loses against the best on the test set."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.io import write_atomic

EXAMPLES = """examples:
  mmssl compare --methods cps,synfoc --data configs/sup_only/lite_fundus.py --seeds 0,1,2 \\
      --work-dir runs --cfg-options default_hooks.checkpoint.max_keep_ckpts=-1
  python tools/analysis_tools/selection_study.py runs --out study

Every run below RUNS with several iter_*.pth is measured: each checkpoint and the means of them
(SWA, EMA, greedy soup), on the test set, on held-out labelled images where the run has them, and
without labels on unlabelled training images. The measurements are kept (RUN/selection.json, or
below --out), so that the same command goes on. The table says how many points of DSC a way to
choose is below the best student at the best checkpoint.
exit codes: 1 something to set right; 130 interrupted."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('runs', nargs='+', type=Path, metavar='RUNS', help='work folders, or folders of such')
    add('--out', type=Path, help='where measurements and tables go (default: beside each run)')
    add('--num-images', type=at_least(1), help='unlabelled images (default 32, or 4 volumes)')
    add('--no-means', action='store_true', help='measure the checkpoints alone')
    add('--table-only', action='store_true', help='show what is measured, measure nothing')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is not measured yet, then print and write the table.

    Raises:
        SettingError: there is no run, or none that is measured.
    """
    args = parse_args(argv)
    from mmssl.experiments.averaged import measure_means
    from mmssl.experiments.kept_run import KeptRun
    from mmssl.experiments.selection_study import Study, find_runs, places_of, regret
    from mmssl.utils import tables
    from mmssl.utils.errors import SettingError

    found = []
    for folder, file in places_of(find_runs(args.runs), args.out).items():
        try:
            kept = KeptRun(folder, file, args.cfg_options, args.num_images)
            complete = kept.complete
        except SettingError as error:
            print(f'{folder} is left out: {error}')
            continue
        if not complete:
            print(f'{folder} is left out: it has not reached its last iteration')
            continue
        if not args.table_only:
            kept.measure()
            if not args.no_means:
                measure_means(kept)
        if all('test' in kept.entries.get(f'iter_{i}', {}) for i in kept.iterations):
            found.append(regret(kept))
    if not found:
        hint = ': leave --table-only out' if args.table_only else ''
        raise SettingError(f'No finished run is measured, so there is no table{hint}')
    study = Study(found)
    print(f'\n{tables.text(study.table(), left=1)}\n', *study.words(), sep='\n')
    out = args.out or args.runs[0]
    write_atomic(out / 'selection_study.json', json.dumps(study.content(), indent=1) + '\n')
    print(f'Wrote {out / "selection_study.json"}')
    return 0


if __name__ == '__main__':
    run(main)
