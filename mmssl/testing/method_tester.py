"""The checks that every method passes: inherit from `MethodTester` and name a config."""

import copy
import importlib
import inspect
import shutil
import uuid
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine import Config

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.models.sam import LoRAMedSAM
from mmssl.registry import HOOKS, RUNNERS
from mmssl.testing.no_host_sync import assert_no_host_sync
from mmssl.testing.phantoms import SIDES, forget_masks, phantom_batch
from mmssl.testing.recorded_steps import compare_recorded_steps
from mmssl.testing.short_run import short_run
from mmssl.testing.small import BN, GN, build, segmentor, set_iter, volume_segmentor
from mmssl.utils.packaged import own_or_given
from mmssl.utils.setup import load_config, register_all_modules


class MethodTester:
    """Check one method with small networks in the place of its students.

    Attributes:
        config: a config of the method: a file beside the test or in the working directory, or one
            of the package's, such as `mean_teacher/acdc.py`.
        options: merged into the config's model, e.g. a threshold that untrained networks pass.
        exact: further options without which the method draws random numbers; for the comparison
            of two ranks with one process.
        unlabelled: whether the method learns from unlabelled images, or the names of the students
            that do where others learn from labels alone.
        counts: labelled and unlabelled images of a batch.
        axes: spatial axes of the images; 3 for volumes.
    """

    config: str
    options: dict = {}
    exact: dict = {}
    unlabelled: bool | tuple[str, ...] = True
    counts: tuple[int, int] = (4, 4)
    axes: int = 2

    # What an entry may override.

    @classmethod
    def student(cls, name: str, channels: int, norm: dict) -> dict:
        """Return the config of the small network that takes a student's place."""
        return (segmentor if cls.axes == 2 else volume_segmentor)(channels, norm)

    @classmethod
    def batch(cls, classes: int = 2, side: int | None = None, seed: int = 0) -> dict:
        """Return a collated batch."""
        return phantom_batch(*cls.counts, classes, side, seed, cls.axes)

    @classmethod
    def share(cls, key: str, value: torch.Tensor, rank: int) -> torch.Tensor:
        """Return the part of a batch's entry that one of two ranks has: its half."""
        return value.chunk(2)[rank]

    @classmethod
    def edit(cls, cfg: Config) -> None:
        """Change the config of the short run on the phantom."""

    # How the models and runs of the checks are made.

    @classmethod
    def read(cls) -> Config:
        """Return the config."""
        beside = Path(inspect.getfile(cls)).parent / cls.config
        return load_config(beside if beside.is_file() else own_or_given(cls.config))

    @classmethod
    def model_cfg(cls, classes: int = 2, norm: dict = BN, **options) -> Config:
        """Return the method's config of a model with small students."""
        cfg = cls.read()
        model = cfg.model
        overlapping = model.get('label_space', {}).get('type') == 'OverlappingParts'
        channels = classes - 1 if overlapping else classes
        model.students = {
            name: cls.student(name, channels, norm)
            for name, student in model.students.items()
            if student is not None
        }
        model.parts = [[i] for i in range(1, classes)]
        model.setdefault('data_preprocessor', {}).pop('sizes', None)
        model.pop('inferer', None)  # of windows that are larger than the images here
        if cls.axes == 3:  # the pipeline has normalised them
            model.data_preprocessor.update(mean=0, std=1)
        cfg.merge_from_dict({'model': copy.deepcopy({**cls.options, **options})})
        return cfg

    @classmethod
    def model(cls, *args, seed: int = 0, **kwargs):
        """Return a model in the middle of its training, where all its terms count.

        Frozen trunks are there; other weights are as they are built.
        """
        set_iter(90, 100)
        model = build(cls.model_cfg(*args, **kwargs).model, seed)
        for module in model.modules():
            if isinstance(module, LoRAMedSAM) and not module.identity.known:
                module.load_trunk()
        return model

    @classmethod
    def hook(cls, model) -> EMATeacherHook:
        """Return the hook of the config that moves the teachers of `model`."""
        hooks = [HOOKS.build(cfg) for cfg in cls.read().get('custom_hooks', [])]
        hook = next(hook for hook in hooks if isinstance(hook, EMATeacherHook))
        hook.pair(model)
        hook.set_mode()
        return hook

    @staticmethod
    def loss(model, raw: dict) -> dict[str, torch.Tensor]:
        """Return the terms on a collated batch; a wrapped model is asked through its wrapper."""
        module = model.module if hasattr(model, 'module') else model
        return model(module.data_preprocessor(copy.deepcopy(raw), True)['inputs'], mode='loss')

    @staticmethod
    def move_teachers(model) -> None:
        """Let the teachers be others than their students, so that the two disagree."""
        for seed, p in enumerate(model.teachers.parameters()):
            p.data += 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))

    @classmethod
    def step(cls, model, raw: dict, seed: int = 0) -> dict[str, torch.Tensor]:
        """Make one SGD step and return the parameters that learn."""
        module = model.module if hasattr(model, 'module') else model
        learning = {k: p for k, p in module.named_parameters() if p.requires_grad}
        torch.manual_seed(seed)
        cls.loss(model, raw)['loss'].backward()
        torch.optim.SGD(learning.values(), lr=0.1).step()
        return {k: p.detach().clone() for k, p in learning.items()}

    @classmethod
    def train(cls, data: Path, work_dir: Path, iters: int = 4, resume: bool = False) -> dict:
        """Train through the runner on the phantom and return the last checkpoint."""
        register_all_modules()
        method = cls.model_cfg()
        cfg = short_run(data, cls.axes, cls.counts)
        cfg.model, cfg.custom_hooks = method.model, method.get('custom_hooks', [])
        cfg.optim_wrapper = method.optim_wrapper
        cfg.work_dir, cfg.experiment_name = str(work_dir), uuid.uuid4().hex
        cfg.train_cfg.update(max_iters=iters, val_interval=100)
        cfg.resume = resume
        cls.edit(cfg)
        RUNNERS.build(cfg).train()
        path = work_dir / (work_dir / 'last_checkpoint').read_text()
        return torch.load(path, weights_only=True)

    # The checks.

    def test_the_method_of_the_config_is_built_and_predicts(self):
        model = self.model()
        assert type(model).__name__ == self.model_cfg().model.type
        raw = self.batch()
        images = model.data_preprocessor(raw, True)['inputs']['x_w']
        model.eval()
        scores = model.predict_logits(images, model.primary)
        assert scores.shape == (self.counts[0], 2, *[SIDES[self.axes]] * self.axes)
        assert scores.isfinite().all()

    def test_the_loss_falls(self):
        model = self.model()
        hook = self.hook(model) if model.teachers else None
        learning = [p for p in model.parameters() if p.requires_grad]
        optimizer, totals = torch.optim.SGD(learning, lr=0.05, momentum=0.9), []
        for t in range(12):
            terms = self.loss(model, self.batch())
            assert all(value.isfinite().all() for value in terms.values()), terms
            optimizer.zero_grad()
            terms['loss'].backward()
            optimizer.step()
            if hook:
                hook.update(t)
            totals.append(terms['loss'].item())
        assert sum(totals[-3:]) / 3 < 0.95 * totals[0], totals

    def test_teachers_get_no_gradient_and_move_as_the_average_says(self):
        model = self.model()
        if not model.teachers:
            hooks = self.read().get('custom_hooks', [])
            assert not any('EMATeacherHook' in hook.type for hook in hooks)
            return
        self.move_teachers(model)
        hook = self.hook(model)
        before = {k: p.clone() for k, p in model.teachers.named_parameters()}
        self.step(model, self.batch())
        assert all(p.grad is None for p in model.teachers.parameters())
        assert all(torch.equal(p, before[k]) for k, p in model.teachers.named_parameters())
        hook.update(9)
        alpha = min(1 - 1 / 10, hook.momentum) if hook.warm_up else hook.momentum
        students = dict(model.students.named_parameters())
        for k, p in model.teachers.named_parameters():
            expected = alpha * before[k] + (1 - alpha) * students[k]
            assert torch.allclose(p, expected, atol=1e-6), k

    def test_unlabelled_images_alone_give_a_gradient(self):
        model = self.model()
        if not self.unlabelled:
            a, b = self.batch(), self.batch(seed=1)
            b['inputs'].update(x_w=a['inputs']['x_w'], y=a['inputs']['y'])
            assert torch.equal(self.loss(model, a)['loss'], self.loss(model, b)['loss'])
            return
        model.sup_loss = lambda *args: {}
        self.loss(model, self.batch())['loss'].backward()
        names = list(model.students) if self.unlabelled is True else self.unlabelled
        for name in names:
            student = model.students[name]
            grads = [p.grad.abs().sum() for p in student.parameters() if p.grad is not None]
            assert grads and sum(grads) > 0, name

    @pytest.mark.parametrize('classes, part', [(3, 1.25), (5, 0.75)])
    def test_other_class_counts_and_sizes(self, classes, part):
        model = self.model(classes)
        self.loss(model, self.batch(classes, int(part * SIDES[self.axes])))['loss'].backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_a_view_that_the_pipeline_does_not_make_is_named(self):
        model = self.model()
        for view in ('u_w', 'u_s', 'u_s2', 'box', 'box2'):
            raw = self.batch()
            if raw['inputs'].pop(view, None) is None:
                continue
            try:
                assert self.loss(model, raw)['loss'].isfinite(), f'works without {view}'
            except ValueError as error:
                assert f'"{view}": add ' in str(error), error

    def test_half_precision(self):
        model = self.model()
        with torch.autocast('cpu', dtype=torch.bfloat16):
            terms = self.loss(model, self.batch())
        assert all(value.isfinite().all() for value in terms.values())
        assert terms['loss'].dtype == torch.float32

    def test_the_loss_needs_no_host_sync(self):
        model = self.model(norm=GN)
        assert_no_host_sync(model, model.data_preprocessor(self.batch(), True)['inputs'])

    @pytest.mark.slow
    def test_a_recorded_step_is_the_step(self):
        """What `speed.cuda_graph` repeats gives losses and weights of the step as written."""
        compare_recorded_steps(type(self))

    @pytest.mark.slow
    def test_resume_is_exact_and_unlabelled_masks_do_not_leak(self, request, tmp_path):
        """The second half of a run is repeated from its middle, the unlabelled masks gone."""
        phantom = request.getfixturevalue('mmssl_phantom' if self.axes == 2 else 'mmssl_volumes')
        whole = self.train(phantom, tmp_path / 'whole')
        data = tmp_path / 'data'
        shutil.copytree(phantom, data)
        forget_masks(data, self.axes)
        again = tmp_path / 'again'
        again.mkdir()
        shutil.copy(tmp_path / 'whole' / 'iter_2.pth', again)
        (again / 'last_checkpoint').write_text(str(again / 'iter_2.pth'))
        resumed = self.train(data, again, resume=True)
        for part in ('state_dict', 'optimizer'):
            assert_same(resumed[part], whole[part], part)

    def test_the_step_of_two_ranks_has_unsupervised_terms_to_compare(self):
        """What is compared below is not 0, however the draws are switched off."""
        model, raw = exact_step(type(self))
        terms = self.loss(model, raw)
        supervised = sum(value for name, value in terms.items() if name.startswith('sup'))
        assert not self.unlabelled or terms['loss'] - supervised > 1e-4, terms

    def test_two_ranks_equal_one_process(self, mmssl_two_ranks):
        one = one_step(type(self))
        ranks = [
            torch.load(folder, weights_only=True) for folder in mmssl_two_ranks[type(self).__name__]
        ]
        for name, value in one.items():
            assert torch.equal(ranks[0][name], ranks[1][name]), name
            torch.testing.assert_close(ranks[0][name], value, atol=1e-6, rtol=1e-5, msg=name)


def assert_same(a, b, where: str) -> None:
    """Compare nested containers bit by bit and name the first difference."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f'{where}.{key}')
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f'{where}.{i}')
    else:
        assert a == b, where


def exact_step(tester: type[MethodTester]) -> tuple:
    """Return a model without random draws, its teachers moved, and a batch."""
    model = tester.model(norm=GN, **tester.exact)
    tester.move_teachers(model)
    return model, tester.batch()


def one_step(tester: type[MethodTester], rank: int | None = None) -> dict[str, torch.Tensor]:
    """Step on the whole batch, or as one of two ranks on its share, with draws of its own."""
    model, raw = exact_step(tester)
    if rank is not None:
        raw['inputs'] = {k: tester.share(k, v, rank) for k, v in raw['inputs'].items()}
        model = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    return tester.step(model, raw, seed=rank or 0)


def run_rank(rank: int, port: int, folder: str, module: str, names: list[str]) -> None:
    """Step once with every method as one of two ranks: one start of processes for all."""
    torch.set_num_threads(1)
    testers = importlib.import_module(module)
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    for name in names:
        torch.save(one_step(getattr(testers, name), rank), f'{folder}/{name}_{rank}.pth')
    dist.destroy_process_group()
