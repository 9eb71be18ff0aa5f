"""The networks of a bundle: which of a model's, with which tensors, built by which config."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmssl.bundles.check import PARTS, find
from mmssl.bundles.plain import plain
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.sam.adapters import merge_adapters
from mmssl.models.sam.frozen_trunk import fill
from mmssl.models.sam.lora_medsam import LoRAMedSAM
from mmssl.models.weights import FILE, SEED, WEIGHTS, describe_fingerprint, fingerprint
from mmssl.utils.config.components import option_names
from mmssl.utils.errors import SettingError

LORA = ('merged', 'apart')
TRUNK, IDENTITY = 'trunk.', 'identity.trunk_fingerprint'
KEPT = ('parts', 'label_space', 'data_preprocessor', 'inferer')
IN_TRAINING = ('init_cfg', 'pretrained')


class Choice(NamedTuple):
    """Which networks a bundle holds.

    Attributes:
        student: the one; None is that of the model's own prediction.
        teacher: its teacher instead; with `everything`, the teachers as well.
        everything: all networks that the model's predictions need.
        lora: `merged` into the trunk, or `apart` from it, whose file must be there then.
    """

    student: str | None = None
    teacher: bool = False
    everything: bool = False
    lora: str = 'merged'

    def networks(self, model: SemiSegmentor) -> list[tuple[str, bool]]:
        """Return name of the student, and whether its teacher is meant, of each network.

        Raises:
            SettingError: the model has no such network, or two cannot be in one bundle.
        """
        if self.lora not in LORA:
            raise SettingError(f'lora is "{self.lora}"; choose one of {", ".join(LORA)}')
        if self.everything and self.student is not None:
            raise SettingError('--student names one network and --all means all: give one of both')
        if self.everything:
            names = [name for name in model.outputs if name in model.students]
            teachers = [name for name in names if name in model.teachers] if self.teacher else []
            if teachers and self.lora == 'merged' and has_adapters(model):
                raise SettingError(
                    'A student and its teacher share one trunk, into which the LoRA of both cannot '
                    'be merged: add --lora apart, or publish them one by one'
                )
            return [(name, False) for name in names] + [(name, True) for name in teachers]
        name = self.student or model.outputs[0]
        if name not in model.students and name in model.outputs:
            raise SettingError(
                f'The prediction "{name}" needs several networks: publish it with --all, or one '
                f'network with --student {" or ".join(model.image_students)}'
            )
        if name not in model.students:
            raise SettingError(
                f'The model has no student "{name}": give --student with one of '
                f'{", ".join(model.students)}, or --all'
            )
        if self.teacher and name not in model.teachers:
            known = ', '.join(model.teachers) or 'none'
            raise SettingError(f'Student "{name}" has no teacher (those that have one: {known})')
        return [(name, self.teacher)]


def has_adapters(module: nn.Module) -> bool:
    """Tell whether a network has LoRA."""
    return any('lora_' in name for name, _ in module.named_parameters())


def small_model(
    cfg: Mapping[str, Any], model: SemiSegmentor, choice: Choice
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return config and state of a model that has the chosen networks and nothing else.

    It is a plain `SemiSegmentor`, whatever method has trained them.

    Args:
        cfg: the model's config, resolved.
        model: the model.
        choice: which networks.

    Raises:
        SettingError: there is no such network.
    """
    networks = choice.networks(model)
    merge = choice.lora == 'merged'
    students: dict[str, Any] = {}
    for name in dict.fromkeys(name for name, _ in networks):
        student = plain(cfg['students'][name])
        students[name] = {k: v for k, v in student.items() if k != 'auxiliary_head'}
    small = {
        'type': 'SemiSegmentor',
        'students': students,
        'primary': networks[0][0],
        **{key: plain(cfg[key]) for key in KEPT if cfg.get(key) is not None},
    }
    _keep_sizes(small, students)
    state: dict[str, Tensor] = {}
    for name, teacher in networks:
        network = (model.teachers if teacher else model.students)[name]
        kind = 'teachers' if teacher and choice.everything else 'students'
        if kind == 'teachers':
            small.setdefault('teachers', []).append(name)
        found = state_of(network, merge)
        state.update(
            {
                f'{kind}.{name}.{key}': value
                for key, value in found.items()
                if not key.startswith('auxiliary_head.')
            }
        )
    return _set_trunks(_without_training(small), model, choice), state


def whole_model(
    cfg: Mapping[str, Any], model: SemiSegmentor, choice: Choice
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return config and state of the model of a method, whose prediction is its own.

    Args:
        cfg: as for `small_model`.
        model: as for `small_model`.
        choice: as for `small_model`; teachers are left out unless it asks for them.
    """
    small = _set_trunks(_without_training(plain(cfg)), model, choice)
    state = state_of(model, choice.lora == 'merged')
    kept = choice.teacher
    return small, {k: v for k, v in state.items() if kept or not k.startswith('teachers.')}


def state_of(module: nn.Module, merge: bool) -> dict[str, Tensor]:
    """Return the state of a network; with LoRA merged it has the frozen trunks as well."""
    if not merge:
        return dict(module.state_dict())
    module = copy.deepcopy(module)
    merge_adapters(module)
    state = dict(module.state_dict())
    for name, encoder in trunks(module):
        tensors = encoder.frozen_tensors()
        state.update({f'{name}{TRUNK}{key}': value for key, value in tensors.items()})
        raw = fingerprint(FILE, _sha256(tensors))
        state[f'{name}{IDENTITY}'] = torch.tensor(list(raw), dtype=torch.uint8)
    return state


def trunks(module: nn.Module) -> Iterator[tuple[str, LoRAMedSAM]]:
    """Give the encoders with a frozen trunk and the start of their tensors' names."""
    for name, part in module.named_modules():
        if isinstance(part, LoRAMedSAM):
            yield f'{name}.' if name else '', part


def fill_trunks(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Give a model the frozen trunks that come with its state, and return the rest of that.

    Args:
        model: the model.
        tensors: its state.
        where: the bundle's name, for messages.

    Raises:
        ValueError: a trunk lacks a tensor, or has one of another shape.
    """
    rest = dict(tensors)
    for prefix, encoder in trunks(model):
        start = f'{prefix}{TRUNK}'
        own = encoder.frozen_tensors()
        found = {name: rest.pop(start + name) for name in own if start + name in rest}
        if found:
            fill(encoder.trunk, found, where)
            raw = rest.get(f'{prefix}{IDENTITY}')
            if raw is not None:
                encoder.identity.set(bytes(raw.tolist()))
    return rest


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _keep_sizes(small: dict[str, Any], students: Mapping[str, Any]) -> None:
    """Leave of what the preprocessor says of students only what is of these."""
    preprocessor = small.get('data_preprocessor') or {}
    preprocessor.pop('students', None)
    if 'sizes' in preprocessor:
        sizes = preprocessor['sizes'] or {}
        preprocessor['sizes'] = {name: size for name, size in sizes.items() if name in students}


def _without_training(node: Any) -> Any:
    """Return a config without what only fills networks with their first weights."""
    if isinstance(node, Mapping):
        return {k: _without_training(v) for k, v in node.items() if k not in IN_TRAINING}
    return [_without_training(one) for one in node] if isinstance(node, list) else node


def _set_trunks(small: dict[str, Any], model: SemiSegmentor, choice: Choice) -> dict[str, Any]:
    """Say of every component that reads published weights where they come from now."""
    for node, path in _components(small, ''):
        component = next((c for r in PARTS if (c := find(r, node['type']))), None)
        if 'checkpoint' in option_names(component):
            node['checkpoint'] = None
        if choice.lora == 'merged':
            node.update(getattr(component, 'without_adapters', {}))
            node.pop('random_trunk_seed', None)
        elif component is not None and issubclass(component, LoRAMedSAM):
            encoder = model.get_submodule(path)
            assert isinstance(encoder, LoRAMedSAM)
            node.update(_published(encoder, path))
    return small


def _published(encoder: LoRAMedSAM, path: str) -> dict[str, Any]:
    """Return the options that name the trunk of an encoder.

    Raises:
        SettingError: its file has no published name.
    """
    raw = encoder.identity.raw
    if raw[0] == SEED:
        return {'random_trunk_seed': int.from_bytes(raw[1:], 'little')}
    for entry in WEIGHTS.values():
        if raw == fingerprint(FILE, entry.sha256):
            return {'checkpoint': entry.name}
    raise SettingError(
        f'The trunk of {path} is {describe_fingerprint(raw)}, which is not published, so that '
        'nobody could find it: use --lora merged'
    )


def _components(node: Any, path: str) -> Iterator[tuple[MutableMapping[str, Any], str]]:
    """Give every component of a config, and the name of the module that it becomes."""
    if isinstance(node, MutableMapping):
        if isinstance(node.get('type'), str):
            yield node, path
        for key, value in node.items():
            yield from _components(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _components(value, f'{path}.{index}')
