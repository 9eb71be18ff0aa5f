"""What a run killed between two steps of a save leaves is done by the next one."""

import json

import pytest

from mmssl.engine.checkpoints.save_journal import NAME, SaveJournal


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'run').mkdir()
    for name in ('iter_2.pth', 'iter_4.pth'):
        (tmp_path / 'run' / name).write_text(name)
    (tmp_path / 'outside.pth').write_text('another run')
    return tmp_path / 'run'


def dies(journal, new, old, *steps):
    class Killed(BaseException):
        pass

    with pytest.raises(Killed):
        with journal.about(new, old):
            for step in steps:
                step()
            raise Killed


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_after_the_rename_pointer_and_removal_are_done(folder):
    new, old = folder / 'iter_6.pth', [folder / 'iter_2.pth']
    dies(SaveJournal(folder), new, old, lambda: new.write_text('6'))
    said = SaveJournal(folder).finish(folder / 'last_checkpoint')
    assert left(folder) == ['iter_4.pth', 'iter_6.pth', 'last_checkpoint']
    assert (folder / 'last_checkpoint').read_text().endswith('iter_6.pth')
    assert len(said) == 1 and 'iter_2.pth' in said[0]


@pytest.mark.parametrize('number', [4, 6])  # 4 was there before and is the old one still
def test_before_the_rename_nothing_is_done(folder, number):
    dies(SaveJournal(folder), folder / f'iter_{number}.pth', [folder / 'iter_2.pth'])
    assert SaveJournal(folder).finish(folder / 'last_checkpoint') == []
    assert left(folder) == ['iter_2.pth', 'iter_4.pth']


def test_nothing_outside_the_folder_is_removed(folder):
    note = {'new': '../outside.pth', 'replaces': None, 'remove': ['../outside.pth', 'iter_2.pth']}
    for new in ('../outside.pth', 'iter_4.pth'):
        (folder / NAME).write_text(json.dumps({**note, 'new': new}))
        SaveJournal(folder).finish(folder / 'last_checkpoint')
    assert (folder.parent / 'outside.pth').exists()
    assert left(folder) == ['iter_4.pth', 'last_checkpoint']


def test_another_file_of_that_name_is_left_alone(folder):
    for text in ('{', '[]', '{"new": 1}'):
        (folder / NAME).write_text(text)
        assert SaveJournal(folder).finish(folder / 'last_checkpoint') == []
        assert (folder / NAME).exists()
