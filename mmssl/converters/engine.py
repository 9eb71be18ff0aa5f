"""The way of every conversion: plan, check all of it, write what is not there, report."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from mmssl.converters.base import Converter, Item, Made
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.outputs import Output, code_of
from mmssl.converters.raw import Raw
from mmssl.utils.io import remove_temporaries
from mmssl.utils.processes.folder_lock import lock_file


class FaultsFound(ValueError):
    """The download has faults, and nothing was written."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__('\n'.join(map(str, faults)))
        self.faults = faults


@dataclass(frozen=True)
class Report:
    """What was converted.

    Attributes:
        items: the cases.
        made: key of a case -> what became of it; its files do not write any more.
        faults: what was wrong, where the conversion went on.
        dropped: keys of the cases that were left out for it.
        written: number of files written now.
    """

    items: Sequence[Item]
    made: Mapping[str, Made]
    faults: Sequence[Fault]
    dropped: Sequence[Item]
    written: int


def convert(
    converter: Converter,
    source: str | Path,
    out: str | Path,
    skip_faults: bool = False,
    progress: bool = True,
) -> Report:
    """Convert a download; run again after an interruption, it writes what is not there yet.

    Args:
        converter: the data set.
        source: folder or zip file of the download, which is only read.
        out: folder of the result.
        skip_faults: go on without the cases that have a fault.
        progress: show bars.

    Raises:
        FaultsFound: something is wrong with the download, or nothing is left of it.
        Unfit: `source` or `out` cannot be used.
        OSError: a file cannot be written.
    """
    source, out = Path(source), Path(out)
    _keep_apart(source, out)
    with Raw(source) as raw, lock_file(out, 'another path for OUT'):
        remove_temporaries(out)
        faults = list(raw.faults)
        items = converter.plan(raw, faults)
        made, dropped = _look(converter, raw, items, faults, progress)
        if not made or (faults and not skip_faults):
            raise FaultsFound(faults or [Fault(str(source), f'nothing of {converter.title} here.')])
        items = [item for item in items if item.key in made]
        lists = converter.lists(items, made)
        output = Output(out, _settings(converter))
        output.begin(
            {i.key: code_of(i.sources.values(), raw.size, made[i.key].files) for i in items},
            [*lists, *(name for item in items for name in made[item.key].files)],
        )
        written = _write(converter, raw, items, made, output, progress)
        output.end(lists)
    return Report(items, made, faults, dropped, written)


def _settings(converter: Converter) -> dict[str, object]:
    options = {name: getattr(converter.options, name) for name in converter.settings}
    return {'data': converter.name, 'options': options}


def _keep_apart(source: Path, out: Path) -> None:
    """Refuse to write into the download, or over it."""
    raw, target = source.resolve(), out.resolve()
    if target == raw or target.is_relative_to(raw) or (raw.is_dir() and raw.is_relative_to(target)):
        raise Unfit(f'OUT "{out}" and RAW "{source}" lie in each other. Choose an OUT beside RAW.')
    if target.exists() and not target.is_dir():
        raise Unfit(f'OUT "{out}" is a file. Choose a folder.')


def _look(
    converter: Converter, raw: Raw, items: Sequence[Item], faults: list[Fault], progress: bool
) -> tuple[dict[str, Made], list[Item]]:
    """Make every item once without writing it; what is wrong with one is added to the faults."""
    called = Counter(item.name for item in items)
    made: dict[str, Made] = {}
    owner: dict[str, Item] = {}
    dropped = []
    for item in _bar(items, f'{converter.name}: check', progress):
        try:
            if item.missing:
                raise Unfit(*item.missing)
            found = converter.make(item, raw)
            _claim(owner, item, found.files)
        except Unfit as error:
            where = item.name if called[item.name] == 1 else item.key
            faults.extend(Fault(where, sentence) for sentence in error.sentences)
            dropped.append(item)
            continue
        # The pixels go; they are read again when they are written.
        made[item.key] = replace(found, files=dict.fromkeys(found.files, _nothing))
    return made, dropped


def _claim(owner: dict[str, Item], item: Item, files: Iterable[str]) -> None:
    """Keep two items from writing one file, also where upper and lower case are one."""
    for name in files:
        other = owner.setdefault(name.casefold(), item)
        if other is not item:
            raise Unfit(
                f'{name} would be written twice, of {", ".join(other.sources.values())} and of '
                f'{", ".join(item.sources.values())}. Rename one of them.'
            )


def _nothing(_: object) -> None:
    """Write nothing: the place of a writer whose pixels are gone."""


def _write(
    converter: Converter,
    raw: Raw,
    items: Sequence[Item],
    made: Mapping[str, Made],
    output: Output,
    progress: bool,
) -> int:
    written = 0
    todo = [item for item in items if output.missing(made[item.key].files)]
    for item in _bar(todo, f'{converter.name}: write', progress):
        written += output.write(converter.make(item, raw).files)
    return written


def _bar(items: Sequence[Item], text: str, progress: bool) -> Iterable[Item]:
    return tqdm(items, desc=text, unit='case', disable=not progress, file=sys.stderr)
