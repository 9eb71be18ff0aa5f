"""Train a model from a config."""

import argparse
import os
from contextlib import nullcontext
from pathlib import Path

from mmssl.utils.cli import Parser, is_first, keep_tracebacks_in, run
from mmssl.utils.command import command_to_go_on
from mmssl.utils.processes.signals import signals

EXAMPLES = """examples:
  python tools/train.py configs/synfoc/prostate.py
  python tools/train.py configs/synfoc/prostate.py --resume --amp
  python tools/train.py configs/synfoc/prostate.py \\
      --cfg-options train_dataloader.dataset.labelled.domain=BMC train_cfg.max_iters=1000
  bash tools/dist_train.sh configs/synfoc/prostate.py 4

exit codes: 1 something to set right, 2 unknown component or option, 70 not foreseen
(the message names a file with the traceback), 75 stopped by SIGTERM,
SIGHUP, SIGUSR1, SIGUSR2 or SIGXCPU (go on with --resume), 130 by Ctrl-C (as well)
MMSSL_DEBUG=1 shows full tracebacks, MMSSL_PROGRESS=1 (0) forces the progress bar on (off)."""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from mmssl.utils.config.options import add_cfg_options, add_launcher

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder of logs and checkpoints (default: work_dirs/METHOD/CONFIG)'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='go on with an interrupted run: from CKPT, or from the newest complete checkpoint '
        'of the work dir (without any, start from the beginning)',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='begin anew in a work dir that holds a run, whose checkpoints are removed then',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='half precision where the device computes it well: float16 on CUDA, bfloat16 on a CPU '
        'with instructions for it, else float32; optim_wrapper.dtype=bfloat16 insists',
    )
    parser.add_argument(
        '--scale-to-world',
        action='store_true',
        help='with batch_sampler.per_rank=True: divide the iterations and multiply the learning '
        'rates by the number of ranks',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help="the levers that leave a training the same to rounding: SAM's attention, layout of "
        'convolutions, fused optimisers (speed.fast=True)',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile encoder blocks and U-Nets, where there is a compiler (speed.compile=True)',
    )
    parser.add_argument(
        '--cuda-graph',
        action='store_true',
        help='on CUDA: record the forward and backward pass, and repeat them as one graph '
        '(speed.cuda_graph=True)',
    )
    add_launcher(parser, 'set by tools/dist_train.sh and tools/slurm_train.sh')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.overwrite and args.resume is not None:
        parser.error('--resume goes on with a run, --overwrite throws it away: give one of them')
    return args


def build_config(args: argparse.Namespace):
    """Return the config with the command line worked in."""
    from mmssl.engine.optim import use_amp
    from mmssl.utils.setup import default_folder, load_config

    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(default_folder(args.config))
    if args.amp and cfg.get('optim_wrapper'):
        cfg.optim_wrapper = use_amp(cfg.optim_wrapper)
    levers = dict(fast=args.fast, compile=args.compile, cuda_graph=args.cuda_graph)
    if any(levers.values()):
        asked = {name: True for name, on in levers.items() if on}
        cfg.speed = {**(cfg.get('speed') or {}), **asked}
    if args.scale_to_world:
        cfg.scale_to_world = True
    if args.overwrite:
        cfg.overwrite = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    return cfg


def main() -> None:
    """Train."""
    args = parse_args()
    signals.listen()
    cfg = build_config(args)
    from mmssl.engine.checkpoints.setting_rules import make_work_dir
    from mmssl.registry import RUNNERS
    from mmssl.utils.dist import leave_group
    from mmssl.utils.processes.folder_lock import lock_folder
    from mmssl.utils.setup import register_all_modules

    keep_tracebacks_in(cfg.work_dir)
    register_all_modules()
    cfg.setdefault('runner_type', 'SemiRunner')
    runner = None
    make_work_dir(cfg.work_dir)
    try:
        with lock_folder(cfg.work_dir) if is_first(args.launcher) else nullcontext():
            runner = RUNNERS.build(cfg)
            runner.train()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_how_to_go_on(cfg, runner)) from None
    leave_group()


def _how_to_go_on(cfg, runner) -> str:
    command = command_to_go_on()
    pointer = Path(cfg.work_dir) / 'last_checkpoint'
    saved = os.path.basename(pointer.read_text().strip()) if pointer.exists() else None
    loop = getattr(runner, '_train_loop', None)  # `runner.iter` would build a missing loop
    now = f'at iteration {loop.iter}' if hasattr(loop, 'iter') else 'before training started'
    if saved is None:
        return f'{now}; no checkpoint was written yet, start again with: {command}'
    return f'{now}; the newest checkpoint is {saved}, go on with: {command}'


if __name__ == '__main__':
    run(main)
