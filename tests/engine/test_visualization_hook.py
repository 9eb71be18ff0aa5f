"""SegVisualizationHook: pictures while training and at test, and a model left as it was."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.structures import PixelData

from mmssl.compat import import_mmseg
from mmssl.engine.hooks.visualization_hook import SegVisualizationHook
from tests import tiny


class Dataset:
    """Five test samples of two domains; the last one has no truth."""

    metainfo = dict(classes=('background', 'disc'), palette=[[0, 0, 0], [255, 0, 0]])
    samples = [SimpleNamespace(domain=d, name=f'0{i}/x') for i, d in enumerate('AAABB')]

    def __len__(self):
        return 5

    def __getitem__(self, index):
        import_mmseg()
        from mmseg.structures import SegDataSample

        rng = np.random.default_rng(index)
        image = torch.from_numpy(rng.integers(0, 256, (1, 32, 32), dtype=np.uint8))
        sample = SegDataSample(
            metainfo=dict(domain='AAABB'[index], name=f'0{index}/x', ori_shape=(32, 32))
        )
        if index < 4:
            truth = torch.zeros(1, 32, 32, dtype=torch.uint8)
            truth[0, 8:20, 8:20] = 1
            sample.gt_sem_seg = PixelData(data=truth)
        return dict(inputs=image, data_samples=sample)


class Backend:
    def __init__(self):
        self.images = []

    def add_image(self, name, image, step=0, **kwargs):
        self.images.append((name, image.shape, step))


@pytest.fixture
def runner(tmp_path):
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=Dataset()))
    model = tiny.build(tiny.synfoc())
    return SimpleNamespace(
        model=model,
        work_dir=str(tmp_path),
        iter=99,
        max_iters=1000,
        val_loop=loop,
        test_loop=loop,
        message_hub=MessageHub.get_current_instance(),
        visualizer=SimpleNamespace(_vis_backends=dict(TensorboardVisBackend=Backend())),
        logger=SimpleNamespace(warning=lambda text: warnings.append(text)),
    )


warnings: list[str] = []


def pictures(folder):
    return sorted(p.name for p in folder.rglob('*.png'))


def test_a_set_of_validation_images_of_every_domain_while_training(runner, tmp_path):
    hook = SegVisualizationHook(interval=100, num=3, height=64)
    hook.after_train_iter(runner, 99)
    folder = tmp_path / 'vis_data' / 'vis_image'
    assert pictures(tmp_path) == [
        'iter_000100_A_00%2Fx.png',
        'iter_000100_A_01%2Fx.png',
        'iter_000100_B_03%2Fx.png',
    ]
    strip = cv2.imread(str(folder / 'iter_000100_A_00%2Fx.png'))
    assert strip.shape[1] == 6 * 64  # image, truth, two students, two teachers
    sent = runner.visualizer._vis_backends['TensorboardVisBackend'].images
    assert sent[0] == ('overlay/A_00%2Fx', strip.shape, 100) and len(sent) == 3
    runner.iter = 100
    hook.after_train_iter(runner, 100)
    assert len(pictures(tmp_path)) == 3


def test_truth_is_drawn_only_where_it_exists(runner, tmp_path):
    SegVisualizationHook(interval=100, num=5, height=64).after_train_iter(runner, 99)
    strip = cv2.imread(str(tmp_path / 'vis_data/vis_image/iter_000100_B_04%2Fx.png'))
    assert strip.shape[1] == 5 * 64


def test_the_training_goes_on_as_if_nothing_was_drawn(runner):
    model = runner.model
    model.students['sam'].eval()
    modes = {n: m.training for n, m in model.named_modules()}
    state = {n: v.clone() for n, v in model.state_dict().items()}
    random = torch.get_rng_state()
    SegVisualizationHook(interval=100).after_train_iter(runner, 99)
    assert {n: m.training for n, m in model.named_modules()} == modes
    assert all(torch.equal(v, state[n]) for n, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_pictures_at_test_go_to_the_folder_asked_for(runner, tmp_path):
    out = tmp_path / 'show'
    dataset = runner.test_loop.dataloader.dataset
    packed = [dataset[i] for i in range(5)]
    batch = dict(
        inputs=[p['inputs'] for p in packed], data_samples=[p['data_samples'] for p in packed]
    )
    runner.model.eval()
    outputs = runner.model.test_step(batch)
    SegVisualizationHook().after_test_iter(runner, 0, batch, outputs)
    assert not out.exists()
    hook = SegVisualizationHook(draw=True, out_dir=str(out), test_interval=2, height=64)
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, batch, outputs)
    assert pictures(out) == ['A_00%2Fx.png', 'A_02%2Fx.png', 'B_04%2Fx.png']
    assert cv2.imread(str(out / 'A_00%2Fx.png')).shape[1] == 6 * 64


def test_pictures_of_like_names_do_not_overwrite_each_other(runner, tmp_path):
    dataset = runner.test_loop.dataloader.dataset
    names = ['scan 1', 'scan_1', 'scan#1', 'Scan_1', 'B_scan']
    dataset.samples = [SimpleNamespace(domain='A', name=name) for name in names[:4]]
    dataset.samples.append(SimpleNamespace(domain='A_B', name='scan'))
    dataset.samples.append(SimpleNamespace(domain='A', name='B_scan'))
    hook = SegVisualizationHook(draw=True, out_dir=str(tmp_path / 'show'), height=64)
    packed = dataset[0]
    for sample in dataset.samples:
        packed['data_samples'].set_metainfo(dict(domain=sample.domain, name=sample.name))
        image = packed['inputs']
        strip, name = hook._strip(image, packed['data_samples'], {}, dataset)
        hook._write(runner, strip, name)
    found = pictures(tmp_path / 'show')
    assert len({name.lower() for name in found}) == 6
    assert {'A_scan%201.png', 'A_scan%231.png'} <= set(found)


def test_a_full_disk_costs_pictures_only(runner, monkeypatch):
    def full(path, image):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmssl.engine.hooks.visualization_hook.write_image', full)
    warnings.clear()
    SegVisualizationHook(interval=100).after_train_iter(runner, 99)
    assert len(warnings) == 1 and 'No space left' in warnings[0]


def test_off_without_interval_or_validation(runner, tmp_path):
    SegVisualizationHook(interval=0).after_train_iter(runner, 99)
    runner.val_loop = None
    SegVisualizationHook(interval=100).after_train_iter(runner, 99)
    assert pictures(tmp_path) == []
