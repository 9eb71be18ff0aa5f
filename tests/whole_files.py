"""Whole volumes on disk for tests: made-up images and masks in the layouts of the data sets."""

import json

import cv2
import numpy as np

SHAPE = (7, 6, 5)


def solid(number, shape=SHAPE):
    """Return a volume of which every voxel differs, float32, and a mask with a box of class 1."""
    rng = np.random.default_rng(number)
    image = rng.permutation(int(np.prod(shape))).reshape(shape).astype(np.float32) - 50.5
    mask = np.zeros(shape, np.uint8)
    mask[1:4, 1:3, 1:3] = 1
    mask[1, 1, 1] = 0
    return image, mask


def write_h5(path, image, mask=None, **attributes):
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        file['image'] = image
        if mask is not None:
            file['label'] = mask
        file.attrs.update(attributes)


def write_nifti(path, array, affine=None):
    """Write an array whose axes are those of the file, (x, y, z)."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def write_left_atrium(root, train=5, test=2, folder='2018LA_Seg_Training Set', shape=SHAPE):
    """Write the layout in which UA-MT spreads the left atrium; its lists are not sorted."""
    names = [f'CASE{number:02d}' for number in range(train + test)][::-1]
    for number, name in enumerate(names):
        write_h5(root / folder / name / 'mri_norm2.h5', *solid(number, shape))
    (root / folder / names[0] / 'desktop.ini').write_text('[.ShellClassInfo]\n')
    (root / 'train.list').write_text('\n'.join(names[:train]) + '\n')
    (root / 'test.list').write_text('\n'.join(names[train:]))
    return names


def write_msd(root, cases=10, channels=(), labels=('background', 'front', 'back'), affine=None):
    """Write a folder of the Decathlon; several channels are a fourth axis."""
    stems = [f'task_{number:03d}' for number in range(1, cases + 1)]
    for number, stem in enumerate(stems):
        image, mask = solid(number)
        mask[4, 4, 4] = len(labels) - 1
        if len(channels) > 1:
            image = np.stack([image + 1000 * k for k in range(len(channels))], -1)
        write_nifti(root / 'imagesTr' / f'{stem}.nii.gz', image, affine)
        write_nifti(root / 'labelsTr' / f'{stem}.nii.gz', mask, affine)
    described = dict(
        name='Task',
        modality={str(k): name for k, name in enumerate(channels or ('MRI',))},
        labels={str(k): name for k, name in enumerate(labels)},
        numTraining=cases,
        training=[
            dict(image=f'./imagesTr/{stem}.nii.gz', label=f'./labelsTr/{stem}.nii.gz')
            for stem in stems
        ],
    )
    (root / 'dataset.json').write_text(json.dumps(described))
    return stems


def write_slices(root, volumes=8, slices=12, suffix='.png'):
    """Write volumes as files of one slice each, numbered without leading zeros."""
    for number in range(volumes):
        for k in range(1, slices + 1):
            name = f'p{number}_a_{k}'
            image = np.full((4, 6), 10 * k + number, np.uint16)
            mask = np.full((4, 6), k % 2, np.uint8)
            if suffix == '.h5':
                write_h5(root / 'data' / f'{name}.h5', image / 7, mask)
                continue
            for folder, plane in (('data', image), ('masks', mask)):
                (root / folder).mkdir(exist_ok=True, parents=True)
                cv2.imwrite(str(root / folder / f'{name}.png'), plane)
