"""A model, data set and sampler small enough to train a whole run in a second."""

import os
import time
import uuid

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from mmssl.registry import DATA_SAMPLERS, DATASETS, METRICS, MODELS


def network(norm: str = 'bn') -> nn.Sequential:
    layer = nn.BatchNorm1d(6) if norm == 'bn' else nn.GroupNorm(2, 6)
    return nn.Sequential(nn.Linear(4, 6), layer, nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3))


@MODELS.register_module()
class ToyModel(BaseModel):
    """Two students with dropout and BatchNorm, and a running mean of one of them."""

    def __init__(self, nan_at: int = -1, norm: str = 'bn', bad_gradient_at: int = -1):
        super().__init__()
        self.students = nn.ModuleDict({'sam': network(norm), 'unet': network(norm)})
        self.register_buffer('ema', torch.zeros(6, 4))
        self.nan_at = nan_at
        self.bad_gradient_at = bad_gradient_at
        self.calls = 0

    def init_weights(self):
        torch.manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def forward(self, inputs, labels=None, mode='tensor'):
        logits = {name: net(inputs) for name, net in self.students.items()}
        if mode != 'loss':
            return [{'pred': logits['unet'].argmax(1), 'label': labels}]
        # the iteration, known from the data (resuming does not restore a Python counter)
        number = int(inputs[0, 3].round())
        terms = {f'sup_{n}': nn.functional.cross_entropy(x, labels) for n, x in logits.items()}
        if number == self.nan_at:
            terms['sup_sam'] = terms['sup_sam'] * float('nan')
        loss = sum(terms.values())
        if number == self.bad_gradient_at:
            loss = loss + (self.students['unet'][0].weight * 0).abs().sqrt().sum()
        with torch.no_grad():
            self.ema.lerp_(self.students['unet'][0].weight, 0.1)
        return {'loss': loss, **{k: v.detach() for k, v in terms.items()}}


@MODELS.register_module()
class ImageToyModel(ToyModel):
    """The same on images of 2 x 2 pixels, with a teacher that only looks on."""

    def __init__(self):
        super().__init__()
        for name in self.students:
            self.students[name] = nn.Sequential(
                nn.Conv2d(2, 6, 3, padding=1),
                nn.BatchNorm2d(6),
                nn.LeakyReLU(),
                nn.Dropout(0.3),
                nn.Conv2d(6, 3, 3, padding=1),
            )
        self.teachers = nn.ModuleDict(dict(unet=nn.Sequential(nn.Conv2d(2, 3, 1))))
        self.teachers.requires_grad_(False)

    def forward(self, inputs, labels=None, mode='tensor'):
        x = inputs.view(-1, 1, 2, 2).expand(-1, 2, -1, -1)
        logits = {name: net(x).mean((2, 3)) for name, net in self.students.items()}
        if mode != 'loss':
            return [{'pred': logits['unet'].argmax(1), 'label': labels}]
        lesson = self.teachers['unet'](x).mean((2, 3)).softmax(1)
        cross = nn.functional.cross_entropy
        terms = {n: cross(z, labels) + cross(z, lesson) for n, z in logits.items()}
        return {'loss': sum(terms.values()), **{k: v.detach() for k, v in terms.items()}}


@MODELS.register_module()
class PhasedToyModel(ToyModel):
    """A step of one student, then one of the other from iteration 2 on."""

    @property
    def phases(self) -> int:
        return 2 if self.step.iter >= 2 else 1

    def forward(self, inputs, labels=None, mode='tensor'):
        if mode != 'loss':
            return super().forward(inputs, labels, mode)
        name = ('sam', 'unet')[self.step.phase]
        loss = nn.functional.cross_entropy(self.students[name](inputs), labels)
        return {'loss': loss, f'sup_{name}': loss.detach()}


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Samples that are a function of their number; the fourth feature is the iteration."""

    metainfo = {'classes': ('a', 'b', 'c'), 'palette': np.zeros((3, 3), dtype=np.uint8)}

    kill_at = -1

    def __init__(self, n: int = 12, delay: float = 0.0, noise: str = ''):
        self.n = n
        self.noise = noise
        self.delay = delay

    def __len__(self):
        return self.n

    def __getitem__(self, draw):
        index, iteration = draw if isinstance(draw, tuple) else (draw, 0)
        if iteration == self.kill_at >= 0:
            os.kill(os.getppid() if torch.utils.data.get_worker_info() else os.getpid(), 9)
        time.sleep(self.delay / 4)
        rng = np.random.default_rng([index, iteration])
        x = torch.from_numpy(rng.normal(size=4).astype('float32'))
        if self.noise:  # what a transform from elsewhere may do
            noise = torch.rand(4) + float(np.random.rand())  # noqa: NPY002
            x += noise if self.noise == 'used' else 0
        x[3] = iteration
        return {'inputs': x, 'labels': torch.tensor(index % 3)}


@DATA_SAMPLERS.register_module()
class ToySampler:
    """Batches addressed by iteration, shared by the ranks."""

    def __init__(self, sampler=None, dataset=None, batch_size=4, seed=0, per_rank=False, **kwargs):
        self.n, self.batch, self.seed, self.start_iter = len(sampler.dataset), batch_size, seed, 0
        self.per_rank = per_rank

    def __len__(self):
        return 10**6

    def __iter__(self):
        from mmengine.dist import get_dist_info

        rank, world = get_dist_info()
        iteration = self.start_iter
        while True:
            order = np.random.default_rng([7, iteration]).permutation(self.n)[: self.batch]
            share = self.batch // world
            mine = order[rank * share : (rank + 1) * share]
            yield [(int(i), iteration) for i in mine]
            iteration += 1


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Scores that rise and fall with the number of validations."""

    default_prefix = ''

    count = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        type(self).count += 1
        return {'unet/DSC': float(self.count), 'sam/DSC': -float(self.count)}


def config(work_dir, max_iters=8, workers=0, **updates) -> Config:
    """Return the config of a toy run."""
    loader = dict(
        num_workers=workers,
        persistent_workers=workers > 0,
        dataset=dict(type='ToyDataset'),
        collate_fn=dict(type='default_collate'),
    )
    cfg = dict(
        default_scope='mmssl',
        runner_type='SemiRunner',
        work_dir=str(work_dir),
        experiment_name=uuid.uuid4().hex,  # runs of one second would share a logger
        custom_imports=dict(imports=['engine_toy'], allow_failed_imports=False),
        model=dict(type='ToyModel'),
        train_dataloader=dict(
            **loader,
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_sampler=dict(type='ToySampler'),
            batch_size=4,
        ),
        train_cfg=dict(type='SemiTrainLoop', max_iters=max_iters, val_interval=4),
        val_dataloader=dict(
            **dict(loader, num_workers=0, persistent_workers=False),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=6,
        ),
        val_cfg=dict(),
        val_evaluator=dict(type='ToyMetric'),
        optim_wrapper=dict(
            type='MultiOptimWrapper',
            constructor='MultiOptimWrapperConstructor',
            optimizers=dict(
                sam=dict(type='AdamW', lr=1e-2), unet=dict(type='SGD', lr=0.1, momentum=0.9)
            ),
        ),
        param_scheduler=dict(unet=[dict(type='PolyLR', power=0.9, begin=0, end=8, by_epoch=False)]),
        default_hooks=dict(
            runtime_info=dict(type='RuntimeInfoHook'),
            logger=dict(type='LoggerHook', interval=2),
            checkpoint=dict(type='CheckpointHook', interval=4),
            loss_guard=dict(type='LossGuardHook', interval=2),
            sync_buffers=dict(type='SyncBuffersHook'),
        ),
        log_processor=dict(by_epoch=False, window_size=2),
        log_level='WARNING',
        randomness=dict(seed=3),
    )
    cfg['test_dataloader'] = cfg['val_dataloader']
    cfg['test_cfg'] = cfg['val_cfg']
    cfg['test_evaluator'] = cfg['val_evaluator']
    cfg = Config(cfg)
    cfg.merge_from_dict(updates)
    return cfg
