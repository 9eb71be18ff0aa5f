"""Principal components are fitted once, on training slices, the same on all ranks."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn

sys.path[:0] = [str(Path(__file__).parents[1])]
from denoiser_parts import OPTIONS, SIZE, images, write_model  # noqa: E402
from fake_files import prostate, write_prostate  # noqa: E402

from mmssl.datasets.prepared import PreparedSlices, image_batch  # noqa: E402
from mmssl.engine.hooks.projection_hook import FitProjectionHook  # noqa: E402
from mmssl.models.diffusion import DiffusionFeatureNeck  # noqa: E402
from mmssl.models.diffusion.cache import FeatureCache  # noqa: E402
from mmssl.models.diffusion.features import join_maps  # noqa: E402


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('models') / 'one')


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    from mmengine.registry import init_default_scope

    from mmssl.registry import DATASETS

    init_default_scope('mmssl')
    return DATASETS.build(prostate(write_prostate(tmp_path_factory.mktemp('data'))))


class Logger:
    def __init__(self):
        self.lines = []

    def info(self, text):
        self.lines.append(text)


def runner(neck, dataset):
    model = nn.Module()
    model.neck = neck
    return SimpleNamespace(
        model=model, train_dataloader=SimpleNamespace(dataset=dataset), logger=Logger()
    )


def build(model, **options):
    return DiffusionFeatureNeck(model, **{**OPTIONS, 'projection': 'pca', **options})


def every_pixel(dataset):
    return FitProjectionHook(num_pixels=SIZE * SIZE * len(dataset), batch_size=5)


def test_components_are_those_of_the_training_slices(model, dataset):
    """All slices, and so many pixels of each that the draw hardly matters."""
    neck = build(model)
    run = runner(neck, dataset)
    hook = FitProjectionHook(num_pixels=40 * SIZE * SIZE * len(dataset), batch_size=5)
    hook.before_train(run)
    slices = PreparedSlices(dataset)
    x = image_batch([slices[i] for i in range(len(slices))])
    full = [F.interpolate(m, size=(SIZE, SIZE), mode='bilinear') for m in neck.block_maps(x)]
    full = torch.cat(full, 1).transpose(0, 1).flatten(1).double().numpy()
    _, values, _ = np.linalg.svd(full - full.mean(1, keepdims=True), full_matrices=False)
    y = neck(x).transpose(0, 1).flatten(1)
    spread = (y.square().mean(1) - y.mean(1) ** 2).numpy()
    np.testing.assert_allclose(spread, values[:4] ** 2 / full.shape[1], rtol=0.02)
    assert y.mean(1).abs().max() < 0.05 * spread.max() ** 0.5
    assert '4 principal components of 64 diffusion features on' in run.logger.lines[0]


def test_fitting_is_repeatable_and_leaves_the_generators_alone(model, dataset):
    necks = []
    for _ in range(2):
        neck = build(model)
        torch.rand(1)
        state = torch.get_rng_state()
        every_pixel(dataset).before_train(runner(neck, dataset))
        assert torch.equal(state, torch.get_rng_state())
        necks.append(neck)
    assert torch.equal(necks[0].projection.weight, necks[1].projection.weight)
    third = build(model)
    FitProjectionHook(num_pixels=500, seed=1).before_train(runner(third, dataset))
    assert not torch.equal(third.projection.weight, necks[0].projection.weight)


def test_the_number_of_pixels_is_bounded(model, dataset):
    slices = PreparedSlices(dataset)
    for pixels, count in ((7, 7), (100, 100)):
        hook = FitProjectionHook(num_slices=9, num_pixels=pixels)
        assert hook.samples(build(model), slices).shape == (count, 64)


def test_a_fitted_neck_is_not_fitted_again(model, dataset):
    neck = build(model)
    every_pixel(dataset).before_train(runner(neck, dataset))
    resumed = build(model)
    resumed.load_state_dict(neck.state_dict())
    run = runner(resumed, dataset)
    FitProjectionHook(num_pixels=10, seed=3).before_train(run)
    assert run.logger.lines == []
    assert torch.equal(resumed.projection.weight, neck.projection.weight)
    learned = build(model, projection='learned')
    before = learned.projection.weight.clone()
    FitProjectionHook().before_train(runner(learned, dataset))
    assert torch.equal(learned.projection.weight, before)


def test_a_cache_serves_without_the_model(model, dataset, tmp_path):
    online = build(model)
    denoiser, slices = online.open(), PreparedSlices(dataset)
    cache = FeatureCache.create(tmp_path, denoiser.sha256, denoiser.spec)
    for index in range(len(slices)):
        s = slices[index]
        flat = join_maps(online.block_maps(image_batch([s]))).numpy()[0]
        cache.write(s['domain'], s['name'], flat, s['img'])
    cached = build('/nowhere', cache_dir=str(tmp_path))
    for neck in (online, cached):
        every_pixel(dataset).before_train(runner(neck, dataset))
    torch.testing.assert_close(
        cached.projection.weight.abs(), online.projection.weight.abs(), atol=0.02, rtol=0
    )


def test_what_cannot_be_fitted_is_named(model, dataset):
    with pytest.raises(ValueError, match='no DiffusionFeatureNeck at model.neck'):
        FitProjectionHook().before_train(runner(None, dataset))
    with pytest.raises(ValueError, match='neither the diffusion model /nowhere nor'):
        FitProjectionHook().before_train(runner(build('/nowhere'), dataset))
    with pytest.raises(ValueError, match='need more than 3 samples'):
        FitProjectionHook(num_pixels=3).before_train(runner(build(model), dataset))
    with pytest.raises(ValueError, match='images of a list before its random transforms'):
        PreparedSlices([])


def test_masks_of_labelled_slices_are_not_opened(dataset):
    slices = PreparedSlices(dataset)
    assert any(sample.labelled for sample in dataset.samples)
    assert not any('gt' in slices[i] for i in range(len(slices)))
    assert dataset.pipelines[True] != []


def worker(rank, folder, model, dataset):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    neck = build(model)
    run = runner(neck, dataset)
    FitProjectionHook(num_pixels=500, seed=rank).before_train(run)
    y = neck(images())
    torch.save(
        [neck.projection.weight, neck.projection.bias, y, len(run.logger.lines)],
        f'{folder}/{rank}.pth',
    )
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_ranks_take_the_result_of_the_first(model, dataset, tmp_path):
    mp.spawn(worker, args=(str(tmp_path), model, dataset), nprocs=2)
    one, two = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))
    assert (one[3], two[3]) == (1, 0)
