import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_files import disk_mask, prostate, write_png, write_prostate
from mmengine.config import Config

BAR = 22  # above each panel
TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/browse_dataset.py'


@pytest.fixture
def config(tmp_path):
    root = write_prostate(tmp_path / 'data')
    cfg = Config(
        dict(
            default_scope='mmssl',
            train_dataloader=dict(
                batch_sampler=dict(type='SemiSampler', num_labelled=1, num_unlabelled=2),
                dataset=prostate(root),
            ),
            test_dataloader=dict(dataset=prostate(root, mode='test', labelled=None)),
            model=dict(data_preprocessor=dict(sizes=dict(unet=dict(image=8, label=4)))),
        )
    )
    cfg.dump(tmp_path / 'cfg.py')
    return tmp_path / 'cfg.py'


@pytest.fixture
def browse(config, monkeypatch, capsys):
    """Run the tool as its command line does."""
    spec = importlib.util.spec_from_file_location('browse_dataset', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.chdir(config.parent)

    def run(*options):
        monkeypatch.setattr(sys, 'argv', ['browse', str(config), '--height', '32', *options])
        code = tool.main()
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=captured.out, stderr=captured.err)

    run.titles = []
    panel = tool.panel
    monkeypatch.setattr(
        tool,
        'panel',
        lambda image, title, *args: run.titles.append(title) or panel(image, title, *args),
    )
    return run


def test_pictures_of_both_splits(browse, tmp_path):
    done = browse('--out-dir', str(tmp_path / 'out'), '--number', '3')
    assert done.returncode == 0, done.stderr
    assert f'3 pictures in {tmp_path / "out"}' in done.stdout
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert [name.split('_')[2] for name in names] == ['labelled0', 'unlabelled0', 'unlabelled1']
    # Five panels of 32 px and 4 px between them. Labelled: weak, mask, strong, input and target of
    # the U-Net; unlabelled: weak, strong, box, pasted, input of the U-Net.
    widths = [cv2.imread(str(tmp_path / 'out' / name)).shape[1] for name in names]
    assert widths == [5 * 32 + 4 * 4] * 3
    done = browse('--split', 'test', '--number', '2')
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 'work_dirs/browse/cfg').iterdir())) == 2


def test_what_is_pasted_is_the_partner(browse, tmp_path):
    browse('--out-dir', str(tmp_path / 'out'), '--number', '2')
    labelled, unlabelled = (cv2.imread(str(p)) for p in sorted((tmp_path / 'out').iterdir()))
    strong, pasted = unlabelled[BAR:, 36:68], unlabelled[BAR:, 108:140]
    differs = (strong != pasted).any(-1)
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    assert 0 < differs.mean() < 0.9
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert (pasted[box] == labelled[BAR:, :32][box]).all()


def test_second_view_and_pairs(config, browse, tmp_path):
    cfg = Config.fromfile(config)
    dataset = cfg.train_dataloader.dataset
    brighter = dict(type='RandomBrightness', low=1.3, high=1.3)
    dataset.unlabelled_pipeline = [
        dict(type='StrongView', transforms=[]),
        dict(type='StrongView', transforms=[brighter], key='img_strong2'),
        dict(type='RandomPasteBox', size=32),
        dict(type='RandomPasteBox', size=32, prob=0.0, key='box2'),
        dict(type='PackSemiInputs'),
    ]
    cfg.dump(config)
    assert browse('--out-dir', str(tmp_path / 'out'), '--number', '3').returncode == 0
    _, u, partner = (cv2.imread(str(p))[BAR:] for p in sorted((tmp_path / 'out').iterdir()))
    # weak, strong, second, box, pasted, second box, second pasted, input of the U-Net; nothing
    # is pasted into the second of a pair.
    assert (u.shape[1], partner.shape[1]) == (8 * 36 - 4, 4 * 36 - 4)
    panels = [u[:, 36 * number : 36 * number + 32].astype(int) for number in range(8)]
    own = partner[:, 36:68].astype(int)  # its strong view
    differs = (panels[1] != panels[4]).any(-1)
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert 0 < differs.mean() < 0.9 and (panels[4][box] == own[box]).all()
    assert (panels[3] != panels[1]).any(), 'the box has a frame'
    for number in (5, 6):
        assert (panels[number] == panels[2]).all(), 'there is no second box'


def test_strong_view_of_labelled_images_with_a_mask_of_its_own(config, browse, tmp_path):
    cfg = Config.fromfile(config)
    hole = [dict(type='RandomCutout', prob=1.0, area=(0.3, 0.4))]
    cfg.train_dataloader.dataset.labelled_pipeline = [
        dict(type='StrongView', transforms=hole, mask=True),
        dict(type='PackSemiInputs'),
    ]
    cfg.dump(config)
    assert browse('--out-dir', str(tmp_path / 'out'), '--number', '1').returncode == 0
    image = cv2.imread(str(next((tmp_path / 'out').iterdir())))[BAR:].astype(int)
    # weak, mask, strong, its mask, input and target of the U-Net
    assert image.shape[1] == 6 * 36 - 4
    weak, mask, strong, own = (image[:, 36 * i : 36 * i + 32] for i in range(4))
    changed = (weak != strong).any(-1)
    assert 0.1 < changed.mean() < 0.5, 'a hole in the view'
    coloured = (mask != weak).any(-1)
    assert ((own != strong).any(-1) == (coloured & ~changed)).mean() > 0.95
    assert (coloured & changed).any(), 'a hole in its mask'


def test_what_happens_to_the_batch_is_shown(config, browse, tmp_path):
    def draw(folder):
        assert browse('--out-dir', str(tmp_path / folder), '--number', '3').returncode == 0
        return [cv2.imread(str(p))[BAR:].astype(int) for p in sorted((tmp_path / folder).iterdir())]

    plain = draw('plain')
    cfg = Config.fromfile(config)
    cfg.model.data_preprocessor.batch_augments = [
        dict(type='UnlabelledStyle', size=0.0, degree=(1, 1))
    ]
    cfg.dump(config)
    styled, again = draw('styled'), draw('again')
    weak = np.s_[:, :32]
    means = [picture[weak].mean() for picture in styled]
    assert min(abs(means[0] - mean) for mean in means[1:]) < 1, means
    assert (styled[0][weak] != plain[0][weak]).mean() > 0.5
    assert (styled[1][weak] == plain[1][weak]).all()
    assert all((one == two).all() for one, two in zip(styled, again, strict=True))


def test_wrong_mask_value_is_named(browse, tmp_path):
    write_png(tmp_path / 'data/A/train/mask/00_01.png', disk_mask(inside=9))
    done = browse()
    assert done.returncode == 1
    assert 'Domain "A": Mask' in done.stderr and '00_01.png has value 9' in done.stderr
    write_png(tmp_path / 'data/A/train/mask/00_00.png', disk_mask(inside=8))
    done = browse()
    assert '00_00.png has value 8' in done.stderr and '00_01.png has value 9' in done.stderr
    assert '2 mask(s) cannot be used' in done.stderr


def test_missing_folder_is_named(browse):
    done = browse('--cfg-options', 'train_dataloader.dataset.data_root=/nowhere')
    assert done.returncode == 1 and 'data_root "/nowhere" does not exist' in done.stderr


def test_three_planes_of_volumes(browse, config, tmp_path):
    """A panel has the planes of 7 x 5, 8 x 5 and 8 x 7 voxels with a pixel between them."""
    from tests.whole_files import write_msd, write_nifti

    write_msd(tmp_path / 'msd', 6)
    crop = dict(type='RandomCrop', size=(8, 7, 5))
    pipelines = dict(
        labelled_pipeline=[crop, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[crop, dict(type='RandomPasteCuboid'), dict(type='PackSemiInputs')],
    )
    load = [dict(type='LoadVolume'), dict(type='LoadMask')]
    data = dict(type='MSD', data_root=str(tmp_path / 'msd'), prepare=load)
    sampler = dict(type='SemiSampler', num_labelled=1, num_unlabelled=1)
    Config(
        dict(
            default_scope='mmssl',
            train_dataloader=dict(
                batch_sampler=sampler, dataset=dict(data, labelled=dict(num=2), **pipelines)
            ),
            test_dataloader=dict(
                dataset=dict(data, mode='test', pipeline=[dict(type='PackTestInputs')])
            ),
        )
    ).dump(config)
    for split, number, panels in (('train', 2, (2, 3)), ('test', 1, (2,))):
        folder = tmp_path / split
        done = browse('--split', split, '--out-dir', str(folder), '--number', str(number))
        assert done.returncode == 0, done.stderr
        found = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
        widest, tallest = (19, 8) if split == 'train' else (22, 6)
        width = round(32 * widest / tallest)
        assert [image.shape[1] for image in found] == [n * width + 4 * (n - 1) for n in panels]
    size = '5x7x8'  # columns, rows, slices
    assert browse.titles[:3] == [f'weak x_w {size}', f'mask y {size}', f'weak u_w {size}']
    assert browse.titles[-2:] == ['image 7x6x5', 'mask 7x6x5']
    for path in (tmp_path / 'msd' / 'labelsTr').iterdir():
        write_nifti(path, np.full((7, 6, 5), 9, np.uint8))
    done = browse('--split', 'test')
    assert done.returncode == 1 and '1 mask(s) cannot be used' in done.stderr
    assert 'Domain "MSD": Mask' in done.stderr and '.nii.gz has value 9' in done.stderr
