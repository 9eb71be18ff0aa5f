"""The sliding window: its windows, its mean, the options, the memory and the model around it."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny import build
from volume_parts import volume_model

from mmssl.models.base.sliding_window import SlidingWindow

PUBLISHED = dict(size=(112, 112, 80), stride=(18, 18, 4))
TEST_SHAPES = [
    (175, 132), (196, 148), (215, 140), (209, 140), (170, 136), (210, 154), (168, 136), (215, 147),
    (191, 154), (186, 143), (183, 133), (190, 135), (190, 138), (187, 139), (177, 139), (182, 136),
    (178, 146), (192, 141), (231, 143), (232, 144),
]  # fmt: skip
"""The first two sides of the 20 test volumes of the Left Atrium benchmark; the third is 88."""


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def asked(inferer, shape):
    """Return the number of windows that a network is asked for, and their sizes."""
    seen = []

    def scores(x):
        seen.extend([tuple(x.shape[2:])] * len(x))
        return torch.zeros(len(x), 2, *x.shape[2:])

    inferer(torch.zeros(1, 1, *shape), scores)
    return len(seen), {*seen}


def loop(image, scores, size, stride, weight=None):
    """Return the mean softmax (C, *shape) as a plain loop over the windows has it, in numpy."""
    short = [max(0, side - length) for side, length in zip(size, image.shape, strict=True)]
    before = [pad // 2 for pad in short]
    padded = np.pad(image, [(pad // 2, pad - pad // 2) for pad in short])
    steps = [
        [min(step * n, length - side) for n in range(math.ceil((length - side) / step) + 1)]
        for length, side, step in zip(padded.shape, size, stride, strict=True)
    ]
    weight = np.ones(size) if weight is None else weight
    total, count = 0.0, np.zeros(padded.shape)
    for corner in itertools.product(*steps):
        window = tuple(slice(at, at + side) for at, side in zip(corner, size, strict=True))
        patch = torch.from_numpy(padded[window][None, None])
        prob = scores(patch).softmax(1)[0].double().numpy()
        whole = np.zeros((len(prob), *padded.shape))
        whole[(slice(None), *window)] = prob * weight
        total = total + whole
        count[window] += weight
    inner = tuple(slice(at, at + n) for at, n in zip(before, image.shape, strict=True))
    return (total / count)[(slice(None), *inner)]


def test_the_published_windows_of_the_left_atrium():
    inferer = SlidingWindow(**PUBLISHED)
    assert sum(inferer.windows((*shape, 88)) for shape in TEST_SHAPES) == 1128
    assert asked(inferer, (170, 136, 88)) == (inferer.windows((170, 136, 88)), {(112, 112, 80)})


@pytest.mark.parametrize('stride', range(1, 13))
def test_a_stride_is_kept_to_the_voxel(stride):
    inferer = SlidingWindow((12, 7), stride=(stride, 5), batch=3)
    assert asked(inferer, (41, 23))[0] == inferer.windows((41, 23))
    assert inferer.windows((41, 23)) == (math.ceil(29 / stride) + 1) * 5


@pytest.mark.parametrize('shape', [(30, 24, 19), (30, 9, 19), (11, 9, 5)])
@torch.no_grad()
def test_the_mean_softmax_equals_a_plain_loop(shape):
    """Also where the volume is smaller than the window: zeros on both sides, cut back."""
    net = build(volume_model(3)).students['net']
    image = images(*shape).numpy()
    size, stride = (16, 12, 8), (5, 4, 3)
    found = SlidingWindow(size, stride)(torch.from_numpy(image[None, None]), net)
    assert found.shape == (1, 3, *shape)
    wanted = loop(image, net, size, stride)
    assert np.abs(found.exp()[0].numpy() - wanted).max() < 1e-5
    whole = net(torch.from_numpy(image[None, None])).softmax(1)[0].numpy()
    assert np.abs(wanted - whole).max() > 1e-3, 'windows matter'


@torch.no_grad()
def test_gaussian_weights_and_mirrored_passes():
    net = build(volume_model(3)).students['net']
    image = images(20, 14, 9)
    size, stride = (10, 8, 6), (5, 4, 3)
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in size]
    weight = np.einsum('i,j,k->ijk', *axes)
    found = SlidingWindow(size, stride, weights='gaussian')(image[None, None], net).exp()[0]
    wanted = loop(image.numpy(), net, size, stride, np.maximum(weight, 1e-3))
    assert np.abs(found.numpy() - wanted).max() < 1e-5

    def mirrored(x):
        flips = [(), (2,), (4,), (2, 4)]
        return torch.stack([net(x.flip(f)).softmax(1).flip(f) for f in flips]).mean(0).log()

    found = SlidingWindow(size, stride, mirror=(0, 2))(image[None, None], net).exp()[0]
    assert np.abs(found.numpy() - loop(image.numpy(), mirrored, size, stride)).max() < 1e-5


@torch.no_grad()
def test_batch_and_device_change_nothing():
    net = build(volume_model(3)).students['net']
    pair = images(2, 1, 20, 14, 9)
    first = SlidingWindow((10, 8, 6), overlap=0.5, batch=1)(pair, net)
    assert torch.allclose(SlidingWindow((10, 8, 6), batch=7, accumulate='cpu')(pair, net), first)
    assert torch.equal(SlidingWindow((10, 8, 6), batch=1)(pair, net), first), 'repeats exactly'
    assert torch.allclose(SlidingWindow((10, 8, 6))(pair[1:], net)[0], first[1])


@pytest.mark.parametrize(('options', 'text'), [
    (dict(size=(8, 8), stride=(4, 4), overlap=0.5), 'give one of them'),
    (dict(size=(8, 8), stride=(4, 9)), 'no voxel is left out'),
    (dict(size=(8, 8), stride=(4,)), 'a step for each axis'),
    (dict(size=(8, 8), overlap=1.0), 'from 0 to below 1'),
    (dict(size=(8, 0)), 'at least 1 along each axis'),
    (dict(size=(8, 8), weights='gauss'), 'known: constant, gaussian'),
    (dict(size=(8, 8), mirror=(0, 2)), r'mirror names axes \[2\]'),
    (dict(size=(8, 8), batch=0), 'batch=0'),
])  # fmt: skip
def test_options_that_do_not_go_together(options, text):
    with pytest.raises(ValueError, match=text):
        SlidingWindow(**options)


def test_a_slice_for_a_window_of_three_axes():
    with pytest.raises(ValueError, match='is for images of 3 axes, but these have the shape'):
        SlidingWindow((8, 8, 8))(torch.zeros(1, 1, 16, 16), lambda x: x)


@torch.no_grad()
def test_student_and_teacher_of_a_model_are_asked_window_by_window():
    window = dict(type='SlidingWindow', size=(8, 8, 6), stride=(4, 4, 3))
    model = build(volume_model(3, 'MeanTeacher', teachers=['net'], inferer=window)).eval()
    model.teachers['net'].net[2].bias += torch.tensor([0.0, 3.0, 0.0])
    inputs = {'net': images(1, 1, 15, 12, 9)}
    for teacher, network in ((False, model.students['net']), (True, model.teachers['net'])):
        found = model.predict_logits(inputs, 'net', teacher)
        wanted = loop(inputs['net'][0, 0].numpy(), network, (8, 8, 6), (4, 4, 3))
        assert np.abs(found.softmax(1)[0].numpy() - wanted).max() < 1e-5
        assert torch.equal(model.scores(inputs, [], 'net', teacher)[0], found[0])
    labels = model.pseudo_labels(inputs)['net']
    assert labels.tolist() == model.predict_logits(inputs, 'net', True).argmax(1).tolist()


LARGE = """
import resource, torch
from mmssl.models.base.sliding_window import SlidingWindow
from mmssl.utils.resize import classes_at
torch.set_num_threads(1)
def scores(x):
    return torch.cat([x, -x, 0.5 * x, 0 * x], 1)
window = SlidingWindow((128, 128, 100), overlap=0, batch=1, accumulate='cpu')
with torch.no_grad():
    found = window(torch.randn(1, 1, 512, 512, 400), scores)
    classes = classes_at(found, found.shape[2:])
    resampled = classes_at(found, (512, 400, 400))
assert classes.shape == (1, 512, 512, 400) and classes.dtype == torch.uint8
assert resampled.shape == (1, 512, 400, 400)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_of_a_large_volume():
    """512 x 512 x 400 voxels, 4 classes: image 0.4, sums 1.6 and their count 0.4 GiB."""
    done = subprocess.run([sys.executable, '-c', LARGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 4 * 2**30
