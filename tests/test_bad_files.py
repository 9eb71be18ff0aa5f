"""Bad data ends in one line that names it; see `test_bad_input.py`."""

import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from bad_input import call
from test_bad_input import base, expect_line  # noqa: F401
from test_training import phantom  # noqa: F401

DATA = 'train_dataloader.dataset'


def image(data: Path, kind: str = 'image') -> Path:
    """Return the first labelled image, or its mask."""
    return sorted((data / 'ScannerA/train' / kind).iterdir())[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def grey(path: Path, side: int = 32, value: int = 255) -> None:
    cv2.imwrite(str(path), np.full((side, side), value, np.uint8))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to('nowhere.png')


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


# What is done to the data, options, and what the line says.
FILES = {
    'image cut': (lambda d: cut(image(d)), '', image),
    'image empty': (lambda d: image(d).write_bytes(b''), '', image),
    'image is text': (lambda d: image(d).write_text('x' * 300), '', image),
    'image is a folder': (lambda d: replace_by_folder(image(d)), '', image),
    'image is a pipe': (lambda d: pipe(image(d)), '', image),
    'image leads nowhere': (lambda d: dangle(image(d)), '', image),
    'image bit flipped': (lambda d: flip(image(d)), '', image),
    'mask missing': (lambda d: image(d, 'mask').unlink(), '', image),
    'mask cut': (lambda d: cut(image(d, 'mask')), '', image),
    'mask of another size': (lambda d: grey(image(d, 'mask'), 20), '', image),
    'mask of another value': (lambda d: grey(image(d, 'mask'), value=7), '', '7'),
    'no image': (
        lambda d: [p.unlink() for p in (d / 'ScannerA/train/image').iterdir()],
        '',
        'ScannerA',
    ),
    'no folder': (lambda d: shutil.rmtree(d / 'ScannerB'), '', 'ScannerB'),
    'root is a file': (lambda d: None, f'{DATA}.data_root={__file__}', 'test_bad_files.py'),
    'more labels than images': (lambda d: None, f'{DATA}.labelled.num=500', '500'),
    'unknown case': (
        lambda d: None,
        f'{DATA}.labelled={{"cases":["xx"],"domain":"ScannerA"}}',
        'xx|labelled',
    ),
    'broken pattern': (lambda d: None, f'{DATA}.case_pattern=(', 'brackets'),
    'pattern that is none': (lambda d: None, f'{DATA}.case_pattern=*', 'case_pattern'),
    'pattern without names': (lambda d: None, f'{DATA}.case_pattern=x+y', 'case_pattern'),
    'domain twice': (lambda d: None, f'{DATA}.domains=[ScannerA,ScannerA]', 'ScannerA'),
    'domain outside': (lambda d: None, f'{DATA}.domains=[ScannerA,../x]', r'\.\./x'),
    'label map of text': (lambda d: None, f'{DATA}.label_map={{0:0,255:"a"}}', 'label_map'),
    'label map negative': (lambda d: None, f'{DATA}.label_map={{0:0,255:-1}}', '-1'),
    'label map number': (lambda d: None, f'{DATA}.label_map=3', 'label_map'),
    'split of a kind that is none': (lambda d: None, f'{DATA}.split={{"type":"coin"}}', 'coin'),
    'split number': (lambda d: None, f'{DATA}.split=3', 'split'),
    'suffix number': (lambda d: None, f'{DATA}.suffixes=3', 'suffix'),
    'folder unknown': (lambda d: None, f'{DATA}.image_dir=pictures', 'pictures'),
    'placeholder unknown': (lambda d: None, f'{DATA}.image_dir={{planet}}/x', 'planet|dict'),
}


@pytest.mark.parametrize('case', FILES)
def test_bad_data_is_one_line(case, base, phantom, tmp_path, monkeypatch, capsys):  # noqa: F811
    change, option, words = FILES[case]
    data = tmp_path / 'data'
    shutil.copytree(phantom, data)
    if callable(words):
        words = image(data).stem  # of the image, and of its mask
    change(data)
    options = [f'{s}_dataloader.dataset.data_root={data}' for s in ('train', 'val', 'test')]
    code, errors = call(
        monkeypatch,
        capsys,
        'train.py',
        [
            base,
            '--work-dir',
            tmp_path / 'run',
            '--cfg-options',
            *options,
            *([option] if option else []),
        ],
    )
    expect_line(code, errors, words)
