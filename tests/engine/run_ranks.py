"""What each of two processes does in test_distributed.py: run_ranks.py CASE FOLDER."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import torch

torch.set_num_threads(1)
import torch.distributed as dist  # noqa: E402
from engine_toy import config  # noqa: E402

from mmssl.registry import RUNNERS  # noqa: E402

# AdamW's first step is the gradient's sign, which rounding may turn
STEP = {'model.norm': 'gn', 'optim_wrapper.optimizers.sam.type': 'SGD'}
CASE, FOLDER = sys.argv[1], Path(sys.argv[2])
RANK = int(os.environ['RANK'])


def options(**more):
    cfg = config(FOLDER / 'run', **more)
    cfg.launcher, cfg.experiment_name = 'pytorch', 'ranks'
    return cfg


def states(runner):
    own = {k: v.clone() for k, v in runner.bare_model.state_dict().items()}
    every = [None] * dist.get_world_size()
    dist.all_gather_object(every, own)
    return every


def buffers():
    """Statistics are equal on all ranks whenever they are saved or validated."""
    runner = RUNNERS.build(options())
    seen = []
    from mmengine.hooks import Hook

    class Look(Hook):
        priority = 'LOWEST'

        def before_val_epoch(self, runner):
            seen.append(states(runner))

        def before_checkpoint(self, runner):
            seen.append(states(runner))

    runner.register_hook(Look())
    runner.train()
    torch.save(seen, FOLDER / f'seen_{RANK}.pth')


def step():
    """One step of two ranks on a shared batch."""
    runner = RUNNERS.build(options(max_iters=1, **STEP))
    for module in runner.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    runner.train()
    torch.save(states(runner), FOLDER / f'states_{RANK}.pth')


def phases():
    """Iterations of one and of two optimiser steps on a shared batch."""
    cfg = options(max_iters=4, **STEP, **{'model.type': 'PhasedToyModel'})
    cfg.find_unused_parameters = True
    runner = RUNNERS.build(cfg)
    for module in runner.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    runner.train()
    torch.save(states(runner), FOLDER / f'states_{RANK}.pth')


def broken():
    """One rank fails, the other must not wait."""
    if RANK == 1:
        os.environ['FAIL'] = '1'
    runner = RUNNERS.build(options())
    if RANK == 1:

        def fail(*args, **kwargs):
            raise ValueError('rank 1 has had enough')

        runner.model.train_step = fail
    runner.train()


def full_disk():
    """Rank 0 cannot write; both ranks must say so."""
    import errno

    from mmssl.engine.checkpoints import resume

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    resume.atomic_save = fail
    try:
        RUNNERS.build(options()).train()
    except OSError as error:
        (FOLDER / f'error_{RANK}.txt').write_text(str(error))


def nan():
    """One rank's loss is NaN; both ranks must stop at the same iteration."""
    where = {'model.nan_at': 2} if RANK == 1 else {}
    try:
        RUNNERS.build(options(**where)).train()
    except FloatingPointError as error:
        (FOLDER / f'error_{RANK}.txt').write_text(str(error))


def frozen():
    """Buffers that are equal on three ranks stay exactly as they are."""
    from mmssl.engine.hooks import average_buffers

    dist.init_process_group('gloo')
    torch.manual_seed(0)
    net = torch.nn.BatchNorm1d(50)
    net.running_mean.normal_()
    other = torch.nn.BatchNorm1d(4)
    other.running_mean.fill_(float(RANK))
    before = net.running_mean.clone()
    average_buffers(torch.nn.ModuleList([net, other]))
    assert torch.equal(net.running_mean, before)
    assert torch.equal(other.running_mean, torch.ones(4))


def agreement():
    """What the first rank measures without labels counts on both."""
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    from test_training import config as synfoc
    from test_training_without_labels import CHOSEN

    from mmssl.engine.hooks.agreement_hook import CHOICE, HISTORY
    from mmssl.engine.label_free import UnlabelledImages
    from mmssl.utils.setup import register_all_modules

    measure = UnlabelledImages.measure

    def otherwise(self, model):
        found = measure(self, model)
        return found._replace(scores={name: -value for name, value in found.scores.items()})

    if RANK == 1:
        UnlabelledImages.measure = otherwise
    register_all_modules()
    cfg = synfoc(FOLDER / 'data', FOLDER / 'run', 6, **CHOSEN)
    cfg.launcher, cfg.experiment_name = 'pytorch', 'ranks'
    cfg.train_dataloader.batch_sampler.update(num_labelled=2, num_unlabelled=2)
    cfg.find_unused_parameters = True
    runner = RUNNERS.build(cfg)
    runner.train()
    found = {key: runner.message_hub.get_info(key) for key in (CHOICE, HISTORY)}
    torch.save(found, FOLDER / f'chosen_{RANK}.pth')


globals()[CASE]()
