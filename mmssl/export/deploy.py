"""Export a network: write its file, compare it with the network, and put it in its place."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmssl.export.check import TOLERANCE, Difference, compare, other_sizes, random_images
from mmssl.export.facts import describe
from mmssl.export.files import DYNAMIC, open_file, trace, write_onnx, write_program
from mmssl.export.int8 import cost, quantise
from mmssl.export.network import ExportedNetwork, takes_size
from mmssl.utils.errors import SettingError

ROUNDING = 1e-5
"""Part of the largest logit that many layers in float32 may differ by, in another order of sums."""

SUFFIXES = ('.onnx', '.pt2')


def export_model(
    model: Any,
    out: str | Path,
    *,
    student: str | None = None,
    teacher: bool = False,
    opset: int | None = None,
    dynamic: str = 'batch',
    size: int | None = None,
    int8: bool = False,
    tolerance: float = TOLERANCE,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write one network of a model into a file that runs without this package.

    The file takes the grey values 0 to 255 of images as float32 at the network's size and gives
    logits (N, classes, H, W); the normalisation is a part of it. Of a model of whole volumes it
    takes one window of a volume as the pipeline has prepared it, and its facts say how the windows
    lie (`window`). It is run and compared with the
    network before it takes its place: a file that differs is not left behind.

    Args:
        model: a model of `init_model`, on the CPU.
        out: the file, ending in `.onnx`, or `.pt2` for a program of `torch.export`.
        student: which prediction; the model's own by default.
        teacher: that of the student's teacher.
        opset: of ONNX; by default that of the installed exporter.
        dynamic: axes of any length: `none`, `batch`, or `size` (batch, height and width).
        size: side of the images in pixels, where neither the data nor the model states one.
        int8: write a file `<out>.int8.onnx` with weights of 8 bit beside it.
        tolerance: by how much a logit may differ.
        say: is told what was written and compared.

    Returns:
        The facts that are written into the file.

    Raises:
        SettingError: an option does not fit, or the file differs from the network.
    """
    out = Path(out)
    _check_options(out, dynamic, int8, opset)
    if not out.parent.is_dir():
        raise SettingError(f'The folder "{out.parent}" of "{out.name}" does not exist: make it')
    network = ExportedNetwork(model, student, teacher).eval()
    facts = describe(network, model.cfg, size)
    facts['input']['dynamic'] = list(DYNAMIC[dynamic].values())
    shape = tuple(facts['input']['shape'][1:])
    _check_volume(shape, dynamic, int8)
    _check_sizes(network, shape, dynamic)
    image = torch.from_numpy(random_images(1 if dynamic == 'none' else 2, *_split(shape)))
    program = trace(network.alone_and_merged(), image, dynamic)
    with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as folder:
        written = Path(folder) / out.name
        if out.suffix == '.onnx':
            write_onnx(program, written, facts, opset)
        else:
            write_program(program, written, facts)
        run = open_file(written)
        for found in compare(run, network, shape, dynamic, tolerance):
            say(str(found))
            if not found.holds(tolerance):
                raise SettingError(_no_match(out, found, tolerance))
        files = [out]
        if int8:
            files.append(out.with_suffix('.int8.onnx'))
            quantise(written, Path(folder) / files[-1].name)
            rounded = open_file(Path(folder) / files[-1].name)
            say(str(cost(run, rounded, facts, model.cfg)))
        for file in files:
            _move(Path(folder) / file.name, file)
            say(f'{file}: {file.stat().st_size / 2**20:.1f} MiB, {_summary(facts)}')
    return facts


def _check_options(out: Path, dynamic: str, int8: bool, opset: int | None) -> None:
    if out.suffix not in SUFFIXES:
        raise SettingError(f'"{out.name}" must end in one of {", ".join(SUFFIXES)}')
    if dynamic not in DYNAMIC:
        raise SettingError(f'dynamic is "{dynamic}": choose one of {", ".join(DYNAMIC)}')
    if out.suffix != '.onnx' and (int8 or opset is not None):
        option = '--int8' if int8 else '--opset'
        raise SettingError(f'{option} is for ONNX: let "{out.name}" end in .onnx')


def _check_volume(shape: tuple[int, ...], dynamic: str, int8: bool) -> None:
    if len(shape) == 4 and dynamic == 'size':
        raise SettingError(
            '--dynamic size is for slices: a file of a model of whole volumes takes windows of '
            'one size, take --dynamic batch'
        )
    if len(shape) == 4 and int8:
        raise SettingError(
            '--int8 is for slices: onnxruntime computes no convolution of volumes in 8 bit; leave '
            'it out'
        )


def _split(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    return shape[0], shape[1:]


def _check_sizes(network: ExportedNetwork, shape: tuple[int, ...], dynamic: str) -> None:
    channels, sides = _split(shape)
    why = takes_size(network, torch.from_numpy(random_images(1, channels, sides)))
    if why:
        size = ' x '.join(map(str, sides))
        raise SettingError(f'"{network.output}" takes no images of {size} px: {why}')
    if dynamic != 'size':
        return
    height, width = sides
    for other in other_sizes(height, width):
        why = takes_size(network, torch.from_numpy(random_images(1, channels, other)))
        if why:
            raise SettingError(
                f'"{network.output}" works at {height} x {width} px alone, not at {other[0]} x '
                f'{other[1]} ({why}): take --dynamic batch'
            )


def _no_match(out: Path, found: Difference, tolerance: float) -> str:
    way = 'try --dynamic none, another --opset, or a file that ends in .pt2'
    if found.largest <= ROUNDING * found.reach:
        way = (
            f'this is the rounding of float32 at such logits, which --tolerance lets pass, or {way}'
        )
    return (
        f'{out.name} is not the network: logits up to {found.reach:.3g} differ by '
        f'{found.largest:.1e}, more than {tolerance:g}; it was removed: {way}'
    )


def _move(file: Path, to: Path) -> None:
    with open(file, 'rb') as handle:
        os.fsync(handle.fileno())
    file.chmod(0o644)
    os.replace(file, to)


def _summary(facts: dict[str, Any]) -> str:
    names = ['batch', 'channels', *['depth'] * (len(facts['input']['shape']) == 5)]
    names += ['height', 'width']
    shape = [
        name if name in facts['input']['dynamic'] else str(length)
        for name, length in zip(names, facts['input']['shape'], strict=True)
    ]
    opset = facts['versions'].get('opset')
    of_opset = f', opset {opset}' if opset else ''
    return (
        f'image ({", ".join(shape)}) -> logits of {len(facts["classes"])} classes: '
        f'{", ".join(facts["classes"])}{of_opset}'
    )
