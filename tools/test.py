"""Test a checkpoint on every domain and print the table."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mmssl.utils.cli import Parser, is_first, keep_tracebacks_in, run
from mmssl.utils.config.options import at_least
from mmssl.utils.errors import SettingError
from mmssl.utils.processes.signals import signals

EXAMPLES = """examples:
  python tools/test.py configs/synfoc/prostate.py work_dirs/synfoc/prostate/iter_60000.pth
  python tools/test.py configs/synfoc/prostate.py CKPT --out result.json --show-dir overlays
  python tools/test.py configs/synfoc/prostate.py CKPT --save-cases cases   # for mmssl report
  bash tools/dist_test.sh configs/synfoc/prostate.py CKPT 4
  python tools/test.py configs/medsam/prostate.py none

exit codes: 1 something to set right, 2 unknown component or option, 70 not foreseen
(the message names a file with the traceback), 75 stopped by SIGTERM or
a scheduler's notice, 130 by Ctrl-C"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from mmssl.utils.config.options import add_cfg_options, add_launcher

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file; "none" for a model without training')
    parser.add_argument('--out', metavar='FILE.json', help='write the results to this file')
    parser.add_argument('--show-dir', metavar='DIR', help='write predictions as overlays there')
    parser.add_argument(
        '--show-every',
        type=at_least(1),
        default=1,
        metavar='N',
        help='with --show-dir: every N-th image only (default: each)',
    )
    parser.add_argument(
        '--save-cases',
        metavar='DIR',
        help='keep image, predictions and probabilities of every case there, for the pictures of '
        'a report; results.json beside them unless --out is given',
    )
    parser.add_argument('--work-dir', help='folder of logs (default: work_dirs/METHOD/CONFIG)')
    add_launcher(parser, 'set by tools/dist_test.sh and tools/slurm_test.sh')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.save_cases and not args.out:
        args.out = os.path.join(args.save_cases, 'results.json')
    return args


def build_config(args: argparse.Namespace):
    """Return the config with the command line worked in."""
    from mmssl.utils.setup import default_folder, load_config

    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.load_from = None if args.checkpoint == 'none' else args.checkpoint
    cfg.resume = False
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(default_folder(args.config))
    if args.out:
        for metric in writing_metrics(cfg)[:1]:
            metric['out_file'] = args.out
    if args.show_dir:
        show(cfg, args.show_dir, args.show_every)
    if args.save_cases:
        saving = dict(type='SaveCasesHook', out_dir=args.save_cases)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), saving]
    return cfg


def writing_metrics(cfg) -> list:
    """Return the metrics of the test that write a file of results themselves."""
    from mmssl.evaluation import DomainMetric
    from mmssl.registry import METRICS
    from mmssl.utils.config.settings import metrics_of

    found = []
    for metric in metrics_of(cfg.get('test_evaluator')):
        kind = metric.get('type')
        kind = METRICS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, DomainMetric):
            found.append(metric)
    return found


def show(cfg, folder: str, every: int) -> None:
    """Let the visualization hook write every n-th prediction into a folder.

    Raises:
        ValueError: the config has no such hook.
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise ValueError(
            '--show-dir needs default_hooks.visualization in the config; it is there in '
            'configs/_base_/default_runtime.py'
        )
    hook.update(draw=True, out_dir=folder, test_interval=every)


@contextmanager
def keep_outputs(args: argparse.Namespace) -> Iterator[None]:
    """Keep what the command writes for this process; a folder that it reads is nobody's.

    Raises:
        InUseError: another process is writing the same.
        SettingError: a result cannot be written there, or would replace what the test reads.
    """
    if args.out and Path(args.out).is_dir():
        raise SettingError(f'--out {args.out} is a folder; name a file, {args.out}/results.json')
    for folder, option in ((args.show_dir, '--show-dir'), (args.save_cases, '--save-cases')):
        if folder and Path(folder).is_file():
            raise SettingError(f'{option} {folder} is a file; name a folder')
    for read in (args.config, args.checkpoint):
        if args.out and os.path.realpath(args.out) == os.path.realpath(read):
            raise SettingError(f'--out {args.out} is what the test reads; name another file')
    from mmssl.utils.io import remove_temporaries
    from mmssl.utils.processes.folder_lock import lock_file

    with ExitStack() as kept:
        outputs = {'--out': args.out, '--show-dir': args.show_dir, '--save-cases': args.save_cases}
        for option, path in outputs.items():
            if path and is_first(args.launcher):
                kept.enter_context(lock_file(path, option))
                remove_temporaries(Path(path).parent, Path(path).name)
        yield


def main() -> None:
    """Test."""
    args = parse_args()
    signals.listen()
    cfg = build_config(args)
    from mmengine.dist import is_main_process

    from mmssl.registry import RUNNERS
    from mmssl.utils.dist import leave_group
    from mmssl.utils.io import write_atomic
    from mmssl.utils.setup import register_all_modules

    keep_tracebacks_in(cfg.work_dir)
    register_all_modules()
    cfg.setdefault('runner_type', 'SemiRunner')
    with keep_outputs(args):
        metrics = RUNNERS.build(cfg).test()
        if args.out and is_main_process() and not writing_metrics(cfg):
            write_atomic(args.out, json.dumps(metrics, indent=2))
        if args.out and is_main_process():
            say_where_from(args)
    leave_group()


def say_where_from(args: argparse.Namespace) -> None:
    """Add to the file of results what was tested, and where its cases are."""
    from mmssl.engine.about_run import about_now
    from mmssl.utils.io import read_json, write_atomic

    content = read_json(args.out, {})
    if 'students' not in content:
        return
    content['about'] = {'config': args.config, 'checkpoint': args.checkpoint, **about_now()}
    if args.save_cases:
        content['cases'] = os.path.relpath(args.save_cases, Path(args.out).parent)
    write_atomic(args.out, json.dumps(content, indent=1, ensure_ascii=False) + '\n')


if __name__ == '__main__':
    run(main)
