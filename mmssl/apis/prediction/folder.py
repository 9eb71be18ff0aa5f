"""Predict many images into a folder: masks, tables, pictures; what is done is not done again."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.apis.prediction.background import ahead
from mmssl.apis.prediction.cleaning import members
from mmssl.apis.prediction.comparing import overlap, overlay, truth_of
from mmssl.apis.prediction.inputs import RECORD, Item
from mmssl.apis.prediction.predictor import Predictor
from mmssl.apis.prediction.result import Prediction
from mmssl.utils import tables
from mmssl.utils.file_names import escaped, file_names
from mmssl.utils.io import write_atomic

MAPS = ('probabilities', 'entropy', 'disagreement')
MOST_BYTES = 200  # of a name without its suffix; most file systems end at 255
OVERLAYS = '_overlays'
COLUMNS = ('image', 'part', 'voxels', 'area_mm2', 'volume_ml', 'dice', 'spacing_mm', 'notes')


@dataclass(frozen=True)
class Extras:
    """What is written next to the masks.

    Args:
        overlay: pictures of the masks on their images.
        truth: a folder of masks with the names of the images, to compare with.
        overwrite: begin anew where predictions of other settings are.
    """

    overlay: bool = False
    truth: Path | None = None
    overwrite: bool = False


class PredictionFolder:
    """A folder of predictions, and the record of those that are whole.

    Args:
        folder: where masks and tables go.
        predictor: of the model.
        items: the images.
        extras: what is written next to the masks.
        model: what identifies the model, for the record: name to text.

    Raises:
        ValueError: the folder holds predictions of another model or of other options, or there
            are no masks to compare with.
    """

    def __init__(
        self,
        folder: Path,
        predictor: Predictor,
        items: Sequence[Item],
        extras: Extras,
        model: Mapping[str, str],
    ) -> None:
        self.folder, self.predictor, self.items, self.extras = folder, predictor, items, extras
        if extras.truth is not None and not extras.truth.is_dir():
            raise ValueError(f'There is no folder "{extras.truth}" of masks to compare with')
        self.settings = self._settings(model)
        self.names = output_names(items)
        self.done: dict[str, dict] = {}
        if extras.overwrite:
            (folder / RECORD).unlink(missing_ok=True)
        self._read_record()

    def _settings(self, model: Mapping[str, str]) -> dict[str, Any]:
        wishes = asdict(self.predictor.wishes)
        del wishes['batch_size']
        truth = None if self.extras.truth is None else str(self.extras.truth.resolve())
        settings = {**model, **wishes, 'overlay': self.extras.overlay, 'truth': truth}
        return json.loads(json.dumps(settings))

    def _read_record(self) -> None:
        """Find out what is done; a line that is not whole is the last one of a killed process."""
        try:
            first, *rest = (self.folder / RECORD).read_text(encoding='utf-8').splitlines()
        except (OSError, ValueError):
            return
        before = _parsed(first) or {}
        for name in self.settings:
            if before.get(name) != self.settings[name]:
                raise ValueError(
                    f'"{self.folder}" holds predictions with {name} {before.get(name)!r}, now it '
                    f'is {self.settings[name]!r}: choose another folder, or throw them away '
                    '(--overwrite)'
                )
        for line in rest:
            entry = _parsed(line)
            if entry is not None:
                self.done[entry['name']] = entry

    def waiting(self) -> list[Item]:
        """Return the images that are not done, or have changed since."""
        return [item for item in self.items if not self._is_done(item)]

    def _is_done(self, item: Item) -> bool:
        entry = self.done.get(item.name)
        return (
            entry is not None
            and entry['signature'] == signature(str(item.image.path))
            and all((self.folder / name).exists() for name in entry['outputs'])
        )

    def run(self, seen: Callable[[int], object] = lambda number: None) -> dict[str, str]:
        """Predict what is not done.

        Args:
            seen: is told the number of slices of each batch.

        Returns:
            Name of each image that could not be predicted to the reason.
        """
        items = self.waiting()
        failed: dict[str, str] = {}
        if not (self.folder / RECORD).exists():
            write_atomic(self.folder / RECORD, json.dumps(self.settings) + '\n')
        stream = self.predictor.stream([item.image for item in items], seen)
        with (
            open(self.folder / RECORD, 'a', encoding='utf-8') as record,
            closing(ahead(stream, 1)) as results,  # the next is predicted while one is written
        ):
            if record.tell() and not self._ends_whole():
                record.write('\n')
            for item, (_, found) in zip(items, results, strict=True):
                try:
                    if isinstance(found, Exception):
                        raise found
                    entry = self._write(item, found)
                except Exception as error:
                    failed[item.name] = in_words(error)
                    continue
                self.done[item.name] = entry
                # Not synced to the disk, as masks are: a line that a power cut takes is done again.
                record.write(json.dumps(entry) + '\n')
                record.flush()
        self._write_tables()
        return failed

    def _ends_whole(self) -> bool:
        with open(self.folder / RECORD, 'rb') as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b'\n'

    def _write(self, item: Item, found: Prediction) -> dict:
        """Write what belongs to an image and return its entry of the record."""
        from mmssl.visualization.overlay import write_image
        from mmssl.writing import map_suffix, mask_suffix, write_map

        name = self.names[item.name]
        outputs = [f'{name}{mask_suffix(found.file)}']
        self._place(outputs[0], item)
        found.save(self.folder / outputs[0])
        for kind in MAPS:
            values = getattr(found, kind)
            if values is not None:
                outputs.append(f'_{kind}/{name}{map_suffix(found.file)}')
                write_map(self._place(outputs[-1], item), values, found.file)
        if self.extras.overlay:
            outputs.append(f'{OVERLAYS}/{name}.png')
            picture = overlay(found, self.predictor, item)
            write_image(self._place(outputs[-1], item), picture)
        return {
            'name': item.name,
            'signature': signature(str(item.image.path)),
            'outputs': outputs,
            'kind': found.file.kind,
            'notes': found.notes,
            'rows': [*self._rows(item, found)],
        }

    def _place(self, output: str, item: Item) -> Path:
        path = self.folder / output
        if path.resolve() == Path(str(item.image.path)).resolve():
            raise ValueError(f'the mask would overwrite the image "{path}": choose another folder')
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _rows(self, item: Item, found: Prediction) -> Iterator[list]:
        """Give a row of the table for each part."""
        truth = self._truth(item, found)
        spacing = 'x'.join(f'{size:.4g}' for size in found.spacing or ())
        for part, size in found.sizes().items():
            dice = None
            if truth is not None:
                ids = [*found.labels.parts[part]]
                dice = overlap(members(found.classes, ids), members(truth, ids))
            yield [item.name, part, *size, dice, spacing, '; '.join(found.notes)]

    def _truth(self, item: Item, found: Prediction) -> np.ndarray | None:
        """Return the mask of an image, as class ids that lie on the prediction."""
        if self.extras.truth is None:
            return None
        from mmssl.datasets.reading import Source, decode_mask, holds_volumes
        from mmssl.datasets.reading.whole import decode_whole_mask

        path = truth_of(self.extras.truth, item)
        layout, axes = self.predictor.pipeline.layout, self.predictor.pipeline.axes
        if item.image.series is not None:
            axes = axes._replace(series=item.image.series)
        shape, image = found.classes.shape, str(item.image.path)
        like = Source(image, layout.image_key) if holds_volumes(image) else None
        if len(shape) == 3:
            return decode_whole_mask(
                [str(path)], layout.label_map, shape, layout.mask_key, like, axes
            )
        return decode_mask([str(path)], layout.label_map, shape, layout.mask_key, None, like, axes)

    def _write_tables(self) -> None:
        """Write the table of sizes and what the values of the masks mean."""
        wanted = [self.done[item.name] for item in self.items if item.name in self.done]
        rows = [row for entry in wanted for row in entry['rows']]
        texts = [[_written(cell) for cell in row] for row in rows]
        write_atomic(self.folder / 'volumes.csv', tables.csv([[*COLUMNS], *texts]))
        labels = self.predictor.labels
        labels.write_json(self.folder / 'labels.json')
        if any(entry['kind'] in ('nifti', 'itk') for entry in wanted):
            labels.write_itk_snap(self.folder / 'labels.txt')

    def notes(self) -> list[str]:
        """Return what is to be known of the inputs, once each, with the number of images."""
        texts = [
            note
            for item in self.items
            if item.name in self.done
            for note in self.done[item.name]['notes']
        ]
        return [
            f'{note} ({texts.count(note)} images)' if texts.count(note) > 1 else note
            for note in dict.fromkeys(texts)
        ]

    def summary(self) -> str:
        """Return a table of the parts: in how many images they are, how large, their Dice."""
        rows = [
            row
            for item in self.items
            if item.name in self.done
            for row in self.done[item.name]['rows']
        ]
        table = [['part', 'images with it', 'median ml', 'median mm^2', 'mean Dice']]
        for part in self.predictor.labels.parts:
            own = [row for row in rows if row[1] == part]
            there = [row for row in own if row[2]]
            areas, volumes = ([row[n] for row in there if row[n] is not None] for n in (3, 4))
            dice = [row[5] for row in own if row[5] is not None]
            table.append(
                [
                    part,
                    f'{len(there)} of {len(own)}',
                    f'{np.median(volumes):.4g}' if volumes else '-',
                    f'{np.median(areas):.4g}' if areas else '-',
                    f'{np.mean(dice):.4f}' if dice else '-',
                ]
            )
        return tables.text(table, 1)


def _parsed(line: str) -> dict | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _written(cell: Any) -> str:
    if cell is None:
        return ''
    return f'{cell:.6g}' if isinstance(cell, float) else str(cell)


def signature(path: str) -> list[int]:
    """Return what changes when a file, or a file of a folder, does: newest change, bytes, files."""
    if not os.path.isdir(path):
        found = os.stat(path)
        return [found.st_mtime_ns, found.st_size, 1]
    stats = [entry.stat() for entry in os.scandir(path) if entry.is_file()]
    return [
        max((s.st_mtime_ns for s in stats), default=0),
        sum(s.st_size for s in stats),
        len(stats),
    ]


def output_names(items: Sequence[Item]) -> dict[str, str]:
    """Return the path of each image's mask below the output folder, without its suffix.

    It is that of the image below the input; where two would be the same the suffix stays in it, and
    where it does not help, as for `../a.png` and `a.png` of a list, the whole path.
    """
    from mmssl.datasets.reading import split_suffix

    stems: dict[str, str] = {}
    for item in items:
        parts = [part for part in Path(item.name).parts if part not in ('..', os.sep)]
        stem = split_suffix(parts[-1])[0] or parts[-1]
        stems[item.name] = '/'.join([*map(escaped, parts[:-1]), escaped(stem)])
    for part in (lambda name: Path(name).name, lambda name: name):  # until no two are the same
        met = Counter(stem.casefold() for stem in stems.values())
        for item in items:
            stem = stems[item.name]
            folder, _, last = stem.rpartition('/')
            if met[stem.casefold()] > 1 or len(last.encode()) > MOST_BYTES:
                [name] = file_names([(part(item.name),)]).values()
                stems[item.name] = f'{folder}/{name}' if folder else name
    return stems


def in_words(error: Exception) -> str:
    """Return an error's own words, with its type where they say nothing by themselves."""
    text = on_a_line(' '.join(str(error).split()))
    plain = isinstance(error, (ValueError, FileNotFoundError)) and text
    return text if plain else f'{type(error).__name__}: {text}'.rstrip(': ')


def on_a_line(text: str) -> str:
    r"""Return a text that a terminal only shows: names of files may hold any sign.

    Example:
        >>> print(on_a_line('é' + chr(10) + chr(27) + '[2J'))
        é\n\x1b[2J
    """
    return ''.join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
