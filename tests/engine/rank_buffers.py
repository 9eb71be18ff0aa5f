"""What each of two processes does in test_sync_buffers_hook.py."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from engine_toy import ToyModel, config
from torch import nn

from mmssl.engine.hooks.sync_buffers_hook import average_buffers, differing_buffers
from mmssl.registry import MODELS, RUNNERS


class Queue(nn.Module):
    """What a plug-in keeps: pictures of its own process, and a threshold that all share."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('pictures', torch.zeros(3, 4))
        self.register_buffer('count', torch.zeros((), dtype=torch.long))
        self.register_buffer('threshold', torch.zeros(()))
        self.register_buffer('scratch', torch.zeros(2), persistent=False)


@MODELS.register_module()
class QueueToyModel(ToyModel):
    """A toy with a queue that every process fills with its own images."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.queue, self.draws = Queue(), []

    def forward(self, inputs, labels=None, mode='tensor'):
        if mode == 'loss':
            self.draws.append(torch.rand(()).item())
            self.queue.pictures.copy_(inputs[:1].expand(3, 4) + self.queue.pictures)
            self.queue.count += 1
        return super().forward(inputs, labels, mode)


def join(rank: int, port: int) -> None:
    """Join a group of two, as a launcher would let this process."""
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )


def by_hand(rank: int, port: int, folder: str) -> None:
    """Average and compare the buffers of a small model whose ranks hold their number."""
    join(rank, port)
    dist.init_process_group('gloo')
    model = nn.ModuleDict(dict(norm=nn.BatchNorm2d(2), frozen=nn.BatchNorm1d(7), queue=Queue()))
    model['norm'].running_mean.fill_(float(rank))
    model['frozen'].running_var.copy_(torch.rand(7, generator=torch.Generator().manual_seed(0)))
    model['queue'].pictures.fill_(rank + 1.0)
    model['queue'].threshold.fill_(float('nan'))
    model['queue'].scratch.fill_(float(rank))
    average_buffers(model)
    found = differing_buffers(model)
    model['queue'].over_ranks = {'threshold': 'equal', 'pictures': 'mean'}
    average_buffers(model)
    averaged = model['queue'].pictures.clone()
    model['queue'].threshold.fill_(0.25 * rank)
    try:
        differing_buffers(model)
        said = ''
    except ValueError as error:
        said = str(error)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.save(dict(state=state, found=found, said=said, averaged=averaged), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def trained(rank: int, port: int, folder: str) -> None:
    """Train for eight iterations; and for four, then go on to eight."""
    join(rank, port)
    runs = []
    for name, stops in (('whole', (8,)), ('parts', (4, 8))):
        for stop in stops:
            cfg = config(
                Path(folder) / name,
                max_iters=8,
                **{'model.type': 'QueueToyModel', 'train_cfg.max_iters': stop, 'resume': stop == 8},
            )
            cfg.custom_imports = dict(imports=['rank_buffers'])
            cfg.launcher, cfg.experiment_name = 'pytorch', f'{name}_{stop}'
            runner = RUNNERS.build(cfg)
            runner.train()
        model = runner.bare_model
        runs.append(
            dict(
                pictures=model.queue.pictures.clone(),
                draws=model.draws[-4:],
                running=model.students['sam'][1].running_mean.clone(),
            )
        )
    torch.save(runs, f'{folder}/{rank}.pth')
    dist.destroy_process_group()
