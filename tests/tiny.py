"""Small models and batches shared by the tests; the small networks are `mmssl.testing`'s."""

import torch

from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.testing.small import BN, GN, build, segmentor, set_iter, set_phase

__all__ = ['BN', 'GN', 'build', 'raw_batch', 'segmentor', 'set_iter', 'set_phase', 'synfoc']


def synfoc(classes: int = 2, parts=((1,),), **kwargs) -> dict:
    """Return a SynFoC of two small networks: inputs of 32 and 24 px, labels of 16 and 24."""
    cfg = dict(
        type='SynFoC',
        students=dict(sam=segmentor(classes, GN), unet=segmentor(classes, BN)),
        teachers=['sam', 'unet'],
        parts=parts,
        threshold=dict(type='FixedThreshold', value=0.5),
        consistency=dict(type='CDCRLoss'),
        data_preprocessor=dict(
            sizes=dict(sam=dict(image=32, label=16), unet=dict(image=24, label=24))
        ),
    )
    cfg.update(kwargs)
    return cfg


def write_slices(folder) -> None:
    """Write the phantom of two scanners that is as small as a training takes it."""
    settings = PhantomSettings(
        domains=('ScannerA', 'ScannerB'),
        size=32,
        train_cases=2,
        train_slices=4,
        test_cases=1,
        test_slices=2,
    )
    write_phantom(folder, settings)


def raw_batch(n_l: int = 2, n_u: int = 2, classes: int = 2, side: int = 32, seed: int = 0) -> dict:
    """Return a collated batch of noise as the loader gives it."""
    g = torch.Generator().manual_seed(seed)

    def image(n: int) -> torch.Tensor:
        return torch.randint(0, 256, (n, 1, side, side), generator=g, dtype=torch.uint8)

    y = torch.randint(0, classes, (n_l, side, side), generator=g, dtype=torch.uint8)
    box = torch.tensor([[2, 3, 9, 7]] * n_u)
    return dict(
        inputs=dict(x_w=image(n_l), y=y, u_w=image(n_u), u_s=image(n_u), u_s2=image(n_u), box=box),
        data_samples=dict(labelled=[], unlabelled=[]),
    )


def sup_terms(model, batch: dict, logits: dict, targets=None) -> dict:
    """Return the supervised terms of logits, without the curves beside them."""
    return _terms(model.sup_loss, batch, logits, targets, model.step)


def unsup_terms(model, batch: dict, logits: dict, targets=None) -> dict:
    """Return the unsupervised terms of logits, without the curves beside them."""
    return _terms(model.unsup_loss, batch, logits, targets, model.step)


def _terms(loss, *args) -> dict:
    from mmssl.models.base.terms import split_curves

    return split_curves(loss(*args))[0]
