"""Segment a NIfTI volume: python run_onnx_volume.py MODEL.onnx IMAGE.nii.gz MASK.nii.gz."""

import functools
import itertools
import json
import sys

import nibabel
import numpy as np
import onnxruntime
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

ORDER = {'axial': (2, 1, 0), 'coronal': (1, 2, 0), 'sagittal': (0, 2, 1)}


def resize(x, size):
    """Resize (C, D, H, W) linearly; the field of view stays."""
    for axis, (old, new) in enumerate(zip(x.shape[1:], size, strict=True), 1):
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1).astype(np.float32)
        low = place.astype(int)
        share = (place - low).reshape(-1, *[1] * (3 - axis))
        x = x.take(low, axis) * (1 - share) + x.take(np.minimum(low + 1, old - 1), axis) * share
    return x


def normalise(x, how):
    """Clip and scale one channel as a step of the preparation says."""
    low, high = how.get('window', (-np.inf, np.inf))
    counts = x[x != 0] if how['nonzero'] else x
    if 'percentiles' in how:
        low, high = np.percentile(counts, how['percentiles']).tolist()
    scaled, counts = x.clip(low, high), counts.clip(low, high)
    begin, step = {
        'zscore': (counts.mean(dtype=float), counts.std(dtype=float)),
        'minmax': (counts.min(), np.ptp(counts)),
        'none': (0, 1),
    }.get(how['normalise'], (low, high - low))
    scaled = (scaled - np.float32(begin)) / np.float32(step if step > 0 else 1)
    return np.where(x != 0, scaled, 0) if how['nonzero'] else scaled


def mean_of_windows(run, x, classes, size, stride, weights, mirror, **_):
    """Return the mean probabilities (classes, D, H, W) of a volume (C, D, H, W)."""
    missing = np.maximum(np.subtract(size, x.shape[1:]), 0)
    inner = [slice(m // 2, m // 2 + n) for m, n in zip(missing, x.shape[1:], strict=True)]
    x = np.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing)])
    bells = [np.exp(-32 * ((np.arange(n) + 0.5) / n - 0.5) ** 2) for n in size]
    bell = functools.reduce(np.multiply.outer, bells).clip(1e-3)  # standard deviation n / 8
    weight = bell if weights == 'gaussian' else np.ones(size)
    turns = [sum(t, ()) for t in itertools.product(*(((), (axis + 1,)) for axis in mirror))]
    total, count = np.zeros((classes, *x.shape[1:])), np.zeros(x.shape[1:])
    sides = zip(x.shape[1:], size, stride, strict=True)
    starts = (np.minimum(range(0, n - s + step, step), n - s) for n, s, step in sides)
    for corner in itertools.product(*starts):
        place = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        for turn in turns:
            window = np.ascontiguousarray(np.flip(x[(slice(None), *place)], turn))
            scores = np.flip(run(window[None])[0], turn)
            prob = np.exp(scores - scores.max(0))
            total[(slice(None), *place)] += weight * prob / prob.sum(0) / len(turns)
        count[place] += weight
    return (total / count)[(slice(None), *inner)]


def main(model, image, mask):
    """Write the class of each voxel on the grid of the image."""
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    facts = json.loads(session.get_modelmeta().custom_metadata_map['mmssl'])
    entry, file = facts['input'], nibabel.load(image)
    turned = nibabel.as_closest_canonical(file) if 'plane' in entry else file
    order = ORDER[entry.get('plane', 'axial')]
    x = np.asarray(turned.dataobj, np.float32)
    x = x[..., entry['frames']] if 'frames' in entry else x[..., None]
    x, spacing = x.transpose(3, *order), np.take(turned.header.get_zooms(), order)
    size = x.shape[1:]
    for step in facts['preparation']:
        if 'resample' in step:
            wanted = [new or old for new, old in zip(step['spacing_mm'], spacing, strict=True)]
            x = resize(x, [max(1, round(n)) for n in x.shape[1:] * spacing / wanted])
        else:
            x = np.stack([normalise(channel, step) for channel in x]).astype(np.float32)
    names = [facts['output']['name']]
    prob = mean_of_windows(
        lambda window: session.run(names, {entry['name']: window})[0],
        x, len(facts['classes']), **facts['window'],
    )  # fmt: skip
    classes = resize(prob, size).argmax(0).astype(np.uint8).transpose(np.argsort(order))
    back = ornt_transform(io_orientation(turned.affine), io_orientation(file.affine))
    nibabel.save(nibabel.Nifti1Image(apply_orientation(classes, back), file.affine), mask)


if __name__ == '__main__':
    main(*sys.argv[1:])
