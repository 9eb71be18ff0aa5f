"""Write a network as ONNX or as a program of `torch.export`, and run what was written."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmssl.compat import whole_sizes
from mmssl.export.facts import INPUT, KEY, OUTPUT
from mmssl.export.network import ExportedNetwork
from mmssl.utils.errors import SettingError
from mmssl.utils.packaged import from_extra

DYNAMIC: dict[str, dict[int, str]] = {
    'none': {},
    'batch': {0: 'batch'},
    'size': {0: 'batch', 2: 'height', 3: 'width'},
}
"""Axes of the image that may have another length each time the file is run, by option."""

LARGEST = 2**31 - 2**20
"""Bytes that one ONNX file can hold."""

Runner = Callable[[np.ndarray], np.ndarray]
"""What runs a file: images (N, C, H, W) to scores (N, classes, H, W)."""


def requirement(name: str) -> Any:
    """Import a package that only exporting needs.

    Raises:
        SettingError: it is not installed.
    """
    return from_extra(name, 'deploy', 'Exporting')


@torch.no_grad()
def trace(network: ExportedNetwork, image: Tensor, dynamic: str) -> torch.export.ExportedProgram:
    """Return a network as a graph.

    Args:
        network: without adapters, in evaluation mode.
        image: an example, two images or more where the batch is dynamic.
        dynamic: one of `DYNAMIC`.

    Raises:
        SettingError: the network cannot be written down for such axes.
    """
    axes = {axis: torch.export.Dim.DYNAMIC for axis in DYNAMIC[dynamic]}
    try:
        with quiet(), whole_sizes():
            return torch.export.export(network, (image,), dynamic_shapes=({**axes},))
    except Exception as error:  # of any kind: it runs the network's own code on symbols
        words = ' '.join(str(error).split())[:300]
        way = '--dynamic none, or ' if dynamic != 'none' else ''
        raise SettingError(
            f'"{network.output}" cannot be written with --dynamic {dynamic} '
            f'({type(error).__name__}: {words}): take {way}another --student'
        ) from error


def write_onnx(
    program: torch.export.ExportedProgram, path: Path, facts: dict[str, Any], opset: int | None
) -> None:
    """Write a graph as ONNX, with its facts as metadata.

    Raises:
        SettingError: a layer, the opset or the size does not go into such a file.
    """
    onnx = requirement('onnx')
    requirement('onnxscript')
    stored = [*program.state_dict.values(), *program.constants.values()]
    size = sum(x.nbytes for x in stored if isinstance(x, Tensor))
    if size > LARGEST:
        raise SettingError(
            f'{size / 2**30:.1f} GiB of weights do not fit into one ONNX file of 2 GiB: write '
            f'{path.stem}.pt2'
        )
    try:
        with quiet():
            written = torch.onnx.export(
                program,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # of any kind: a layer that nobody has translated
        words = ' '.join(str(error).split())[:300]
        raise SettingError(
            f'The network cannot be written as ONNX ({type(error).__name__}: {words}): write '
            f'{path.stem}.pt2, which torch.export can'
        ) from error
    assert written is not None  # as it is when no file is named
    model = written.model_proto
    found = {entry.domain: entry.version for entry in model.opset_import}['']
    if opset is not None and found != opset:
        raise SettingError(f'The network cannot be written with --opset {opset}: take {found}')
    facts['versions'].update(onnx=onnx.__version__, opset=found)
    onnx.helper.set_model_props(model, {KEY: json.dumps(facts)})
    model.producer_name, model.producer_version = KEY, facts['versions'][KEY]
    onnx.save_model(model, str(path))


def write_program(program: torch.export.ExportedProgram, path: Path, facts: dict[str, Any]) -> None:
    """Write a graph as torch.export does, with its facts in `mmssl.json`."""
    with quiet():
        torch.export.save(program, path, extra_files={f'{KEY}.json': json.dumps(facts)})


def read_facts(path: Path) -> dict[str, Any]:
    """Return what an ONNX file says of itself."""
    model = requirement('onnx').load_model(str(path), load_external_data=False)
    found: dict[str, Any] = json.loads({p.key: p.value for p in model.metadata_props}[KEY])
    return found


def open_file(path: Path) -> Runner:
    """Return what runs a written file, with onnxruntime on the CPU or with torch."""
    if path.suffix == '.pt2':
        program = torch.export.load(path).module()

        @torch.no_grad()
        def run_program(image: np.ndarray) -> np.ndarray:
            scores: np.ndarray = program(torch.from_numpy(image)).numpy()
            return scores

        return run_program
    runtime = requirement('onnxruntime')
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])

    def run_session(image: np.ndarray) -> np.ndarray:
        scores: np.ndarray = session.run([OUTPUT], {INPUT: image})[0]
        return scores

    return run_session


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the exporters say on the way to themselves; what they raise says it too."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
