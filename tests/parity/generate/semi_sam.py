"""Recompute the reference of SemiSAM (YichiZhang98/SemiSAM, commit 6716784).

    git clone https://github.com/YichiZhang98/SemiSAM /tmp/SemiSAM
    git -C /tmp/SemiSAM checkout 6716784
    python -m tests.parity.generate.semi_sam /tmp/SemiSAM [--check]

On the inputs of `tests/parity/data/semi_sam.npz`: single iterations of `train_LA_semisam_mt.py` and
`SemiSAM_train_MT_3D.py`, of which student, teacher and SAM give the file's tensors; all clicks that
`click_method.py` may make on slices, with the index mended by which it labels the first ones; and
ten clicks of `finetune_model_predict3D` to a small SAM of segment-anything, one mask at a time.
"""

import functools
import importlib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import nn

from tests.parity.generate import cli, released
from tests.sam_parts import original_sam

STUBS = (
    'tensorboardX',
    'dataloaders',
    'networks',
    'torchio',
    'skimage',
    'val_3D',
    'h5py',
    'medpy',
    'SimpleITK',
    'edt',
    'utils.data_loader',
    'segment_anything.build_sam3D',
    'segment_anything.utils.transforms3D',
)
FIRST_ITERATION = '\n    iter_num = 0\n'


class Answer(nn.Module):
    """Take a network's place: whatever it sees, it gives the last of these logits.

    Args:
        logits: of all volumes.
    """

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.from_numpy(logits).double())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return as many volumes as are given, from the first one again where there are more."""
        times = -(-len(x) // len(self.logits))
        return self.logits.repeat(times, 1, 1, 1, 1)[-len(x) :]


def given_sam(logits: np.ndarray) -> mock.MagicMock:
    """Return what takes SAM-Med3D's place: one volume's logits after the other."""
    sam, volumes = mock.MagicMock(), iter(torch.from_numpy(logits).double().split(1))
    sam.to.return_value = sam
    sam.image_encoder.side_effect = lambda image: next(volumes)
    sam.prompt_encoder.return_value = None, None
    sam.mask_decoder.side_effect = lambda image_embeddings, **prompt: (image_embeddings, None)
    return sam


class SliceSAM:
    """A SAM for slices under the interface of that for volumes, which are one slice deep.

    Args:
        sam: segment-anything's modules.
    """

    def __init__(self, sam: nn.ModuleDict) -> None:
        self.sam, self.clicks, self.prompt_encoder = sam, [], mock.Mock(side_effect=self.prompt)
        self.prompt_encoder.get_dense_pe = sam['prompt_encoder'].get_dense_pe

    def image_encoder(self, image: torch.Tensor) -> torch.Tensor:
        """Return the embedding of a grey slice in [0, 1]."""
        return self.sam['image_encoder'](image[..., 0].expand(-1, 3, -1, -1))

    def prompt(self, points: list, boxes: None, masks: torch.Tensor) -> tuple:
        """Return the embeddings of a click and of a mask."""
        (place, label), (y, x, _) = points, points[0].flatten().tolist()
        self.clicks.append([x, y, label.item()])
        return self.sam['prompt_encoder']((place[..., [1, 0]], label), None, masks[..., 0])

    def mask_decoder(self, **embeddings) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits and the quality, and keep the logits."""
        self.logits, quality = self.sam['mask_decoder'](**embeddings)
        return self.logits[..., None], quality


def distance(mask: np.ndarray, **options) -> np.ndarray:
    """Return the Euclidean distance to the background as `edt.edt` does, slice by slice."""
    return distance_transform_edt(mask, sampling=(1, 1, 2 * max(mask.shape)))


def click_method(code: Path):
    """Return the names of the module of the clicks, mended."""
    script = released.load_script(
        code / 'utils' / 'click_method.py',
        replace={'point[0], point[1], point[2]': 'point[1], point[2], point[3]'},
    )
    script.edt = SimpleNamespace(edt=distance)
    return script


def step(script, call: Callable, batch: dict, student: nn.Module, labelled: int) -> dict:
    """Return the script's variables at its first step, and the norms of the student's gradient."""
    script.DataLoader = lambda *args, **kwargs: released.Loader([batch])
    for name in ('os', 'shutil', 'logging', 'SummaryWriter'):
        setattr(script, name, mock.MagicMock())
    try:
        with (
            mock.patch.object(torch.optim.SGD, 'step', side_effect=released.Finished),
            mock.patch.object(torch, 'load'),
        ):
            call()
    except released.Finished as end:
        frames = [
            frame
            for frame, _ in traceback.walk_tb(end.__traceback__)
            if frame.f_code.co_filename == script.__file__
        ]
        grad = student.logits.grad
        return frames[-1].f_locals | dict(
            grad=grad.norm(), grad_l=grad[:labelled].norm(), grad_u=grad[labelled:].norm()
        )
    raise RuntimeError('the script ended before its first step')


def prepare(arrays, sams) -> tuple[Iterator[nn.Module], nn.Module, dict]:
    """Return student and teacher, the student alone, and the batch.

    Args:
        arrays: the reference.
        sams: the module that builds SAM-Med3D, which is to build what takes its place.
    """
    student, teacher = Answer(arrays['outputs']), Answer(arrays['ema'])
    label = torch.from_numpy(arrays['label']).long()
    sams.sam_model_registry3D = dict(vit_b_ori=lambda checkpoint: given_sam(arrays['sam_logits']))
    batch = dict(image=torch.zeros(label[:, None].shape), label=label)
    return iter((student, teacher)), student, batch


def semi_sam(code: Path, arrays, iteration: int) -> list[float]:
    """Return the row of an iteration of SemiSAM on the left atrium."""
    script = released.load_script(
        code / 'train_LA_semisam_mt.py',
        ['--device=cpu'],
        replace={
            FIRST_ITERATION: f'\n    iter_num = {iteration}\n',
            'if __name__ == "__main__":': 'def main():',
            'stride * T, 2, 128, 128, 128': 'stride * T, *outputs.shape[1:]',
            'reshape(T, stride, 2, 128, 128, 128)': 'reshape(T, stride, *outputs.shape[1:])',
        },
    )
    given, student, batch = prepare(arrays, script)
    clicks = click_method(code)
    script.get_next_click3D_torch_ritm = clicks.get_next_click3D_torch_ritm
    script.VNet = lambda **kwargs: next(given)
    seen = step(script, script.main, batch, student, 1)
    return released.pick(
        [seen],
        'consistency_weight',
        'consistency_weight_sam',
        'loss_seg',
        'loss_seg_dice',
        'consistency_loss',
        'sam_con_loss',
        'loss',
        'grad_l',
        'grad_u',
    )[0]


def semi_sam_plus(code: Path, arrays, iteration: int) -> list[float]:
    """Return the row of an iteration of SemiSAM+ over the mean teacher."""
    script = released.load_script(
        code / 'SemiSAM_train_MT_3D.py',
        ['--batch_size=4', '--labeled_bs=2'],
        replace={FIRST_ITERATION: f'\n    iter_num = {iteration}\n'},
    )
    branch = importlib.import_module('semisam_plus')
    importlib.import_module('utils.click_method').edt = SimpleNamespace(edt=distance)
    given, student, batch = prepare(arrays, branch)
    script.semisam_branch = functools.partial(branch.semisam_branch, device='cpu')
    script.net_factory_3d = lambda **kwargs: next(given)
    seen = step(script, lambda: script.train(script.args, '.'), batch, student, 2)
    return released.pick(
        [seen],
        'consistency_weight',
        'consistency_weight_sam',
        'supervised_loss',
        'consistency_loss',
        'sam_con_loss',
        'loss',
        'grad',
    )[0]


def candidates(click: Callable, wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the label of each pixel (H, W) that may be clicked, and -1 for the others."""
    given, wanted = (torch.from_numpy(x)[None, None, ..., None] for x in (given, wanted))
    labels, counts = np.full(wanted.shape[2:4], -1, np.int8), []

    def draw(count: int) -> int:
        counts.append(count)
        return len(counts) - 1  # each of them once

    with mock.patch.object(np.random, 'randint', draw):
        while not counts or len(counts) < counts[0]:
            (place,), (label,) = click(given, wanted)
            y, x, _ = place.flatten().tolist()
            labels[y, x] = label.item()
    return labels


def ten_clicks(script, clicks, arrays) -> dict:
    """Return clicks, logits and masks for each wanted mask of each image."""
    sam = original_sam(128)
    shapes = released.fill(sam, 'semi_sam')
    images = F.interpolate(
        torch.from_numpy(arrays['click_image']).double(), (128, 128), mode='bilinear'
    )
    wanted = np.unpackbits(arrays['click_wanted']).reshape(2, 2, 128, 128)
    script.get_next_click3D_torch_2 = clicks.get_next_click3D_torch_2
    history, logits, masks = [], [], []
    for n, k in np.ndindex(2, 2):
        slices = SliceSAM(sam)
        with mock.patch.object(np.random, 'randint') as draw:
            draw.side_effect = lambda count, s=slices: (count - 1) * (len(s.clicks) % 2)
            mask = script.finetune_model_predict3D(
                images[n, None, ..., None],
                torch.from_numpy(wanted[n, k])[None, None, ..., None],
                slices,
                device='cpu',
                click_method=clicks.get_next_click3D_torch_ritm,
            )
        history.append(slices.clicks)
        logits.append(slices.logits[0, 0])
        masks.append(mask.flatten() > 0)
    return dict(
        click_history=np.array(history, np.int16).reshape(2, 2, 10, 3),
        sam_shapes=shapes,
        click_logits=torch.stack(logits).view(2, 2, 32, 32),
        click_masks=np.packbits(torch.cat(masks).numpy()),
    )


def of_clicks(code: Path, arrays) -> dict:
    """Return what is compared of the clicks."""
    clicks = click_method(code)
    labels = np.stack(
        [
            [
                candidates(click, *pair)
                for pair in zip(arrays['wanted'], arrays['given'], strict=True)
            ]
            for click in (clicks.get_next_click3D_torch_ritm, clicks.get_next_click3D_torch_2)
        ]
    )
    script = released.load_script(code / 'train_LA_semisam_mt.py', ['--device=cpu'])
    return dict(candidates=labels >= 0, labels=labels) | ten_clicks(script, clicks, arrays)


def main() -> None:
    """Recompute the reference."""
    args, arrays = cli.parse(__doc__), np.load(released.DATA / 'semi_sam.npz')
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        results = of_clicks(code, arrays)
        results['la'] = [semi_sam(code, arrays, int(t)) for t in arrays['la_iterations']]
    with released.checkout(Path(args.checkout, 'code_semisam+'), STUBS) as code:
        results['plus'] = [semi_sam_plus(code, arrays, int(t)) for t in arrays['plus_iterations']]
    released.save('semi_sam', results, args.check)


if __name__ == '__main__':
    main()
