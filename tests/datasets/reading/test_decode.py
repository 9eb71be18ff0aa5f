import numpy as np
import pytest
from fake_files import disk_mask, noise, write_png
from PIL import Image

from mmssl.datasets.reading.decode import READERS, DataError, LabelMap, decode_image, decode_mask

BINARY = LabelMap({0: 0, 255: 1})


def test_image_channels(tmp_path):
    colour = noise(0, (9, 7, 3))
    path = str(write_png(tmp_path / 'a.png', colour))
    assert (decode_image(path, 3) == colour).all()
    luma = np.asarray(Image.open(path).convert('L'))
    assert (decode_image(path, 1)[..., 0] == luma).all()
    path = str(write_png(tmp_path / 'b.png', colour[..., 0]))
    assert (decode_image(path, 3) == colour[..., :1]).all()
    with pytest.raises(ValueError, match='1 or 3, not 2'):
        decode_image(path, 2)


def test_image_of_16_bit_is_refused(tmp_path):
    path = write_png(tmp_path / 'a.png', noise(0).astype(np.uint16) * 16)
    with pytest.raises(DataError, match=r'a\.png has type uint16 .*8 bit'):
        decode_image(str(path))


@pytest.mark.parametrize('mode', ['1', 'L', 'RGB', 'RGBA'])
def test_mask_modes(tmp_path, mode):
    mask = disk_mask(inside=255, outside=0)
    path = tmp_path / 'a.png'
    picture = Image.fromarray(mask).convert(mode)
    if mode == 'RGBA':
        picture.putalpha(77)
    picture.save(path)
    assert Image.open(path).mode == mode
    assert (decode_mask(str(path), BINARY) == (mask == 255)).all()


def test_palette_mask_is_read_by_its_colours(tmp_path):
    mask = disk_mask(inside=1, outside=0)
    picture = Image.fromarray(mask).convert('P')
    picture.putpalette([0, 0, 0, 200, 30, 40])
    picture.save(tmp_path / 'a.png')
    label_map = LabelMap({(0, 0, 0): 0, (200, 30, 40): 1})
    assert (decode_mask(str(tmp_path / 'a.png'), label_map) == mask).all()


def test_label_map_values_and_ranges():
    values = np.array([[0, 1, 64, 128, 129, 255]], np.uint8)
    for middle in ((1, 128), '1-128', [1, 128]):
        entries = {0: 1, 255: 0, '129-254': 3}
        entries[tuple(middle) if isinstance(middle, list) else middle] = 2
        assert LabelMap(entries)(values).tolist() == [[1, 2, 2, 2, 3, 0]]


def test_label_map_colours():
    label_map = LabelMap({(0, 0, 0): 0, (255, 0, 0): 1, '0,255,0': 2, (0, 0, 255): 3})
    mask = np.zeros((1, 4, 3), np.uint8)
    for channel in range(3):
        mask[0, channel + 1, channel] = 255
    assert label_map(mask).tolist() == [[0, 1, 2, 3]]
    assert label_map.num_classes == 4
    mask[0, 1] = (255, 255, 0)
    with pytest.raises(DataError, match=r'Mask m\.png has value \[255, 255, 0\].*\(0, 255, 0\)'):
        label_map(mask, 'm.png')


def test_unlisted_value_names_file_value_and_map():
    mask = np.array([[0, 7, 255, 9]], np.uint8)
    with pytest.raises(DataError, match=r'Mask x/m\.png has value 7, 9, .*\(0 -> 0, 255 -> 1\)'):
        BINARY(mask, 'x/m.png')
    assert LabelMap({0: 0, 255: 1}, nearest=True)(mask).tolist() == [[0, 0, 1, 0]]


def test_nearest_colour():
    label_map = LabelMap({(0, 0, 0): 0, (255, 0, 0): 1}, nearest=True)
    assert label_map(np.array([[[250, 3, 9], [90, 90, 0]]], np.uint8)).tolist() == [[1, 0]]


def test_label_map_faults():
    with pytest.raises(ValueError, match='empty'):
        LabelMap({})
    with pytest.raises(ValueError, match='mixes colours'):
        LabelMap({0: 0, (255, 0, 0): 1})
    with pytest.raises(ValueError, match='overlaps'):
        LabelMap({(0, 10): 0, (10, 20): 1})
    with pytest.raises(ValueError, match='not a value'):
        LabelMap({-1: 0})


def test_coloured_mask_with_a_map_of_values(tmp_path):
    path = str(write_png(tmp_path / 'a.png', noise(0, (4, 4, 3))))
    with pytest.raises(DataError, match=r'a\.png is coloured'):
        decode_mask(path, BINARY)


def test_several_masks_are_merged(tmp_path):
    first, second = np.zeros((6, 6), np.uint8), np.zeros((6, 6), np.uint8)
    first[:2], second[4:] = 255, 255
    paths = [
        str(write_png(tmp_path / name, mask))
        for name, mask in (('a.png', first), ('b.png', second))
    ]
    assert decode_mask(paths, BINARY).sum(1).tolist() == [6, 6, 0, 0, 6, 6]


def test_size_differs(tmp_path):
    path = str(write_png(tmp_path / 'a.png', disk_mask()))
    with pytest.raises(DataError, match=r'a\.png is 20x24, its image 20x20'):
        decode_mask(path, LabelMap({0: 1, 255: 0}), shape=(20, 20))


@pytest.mark.parametrize('keep', [0, 4, 30, 0.5, -14, -5])
def test_truncated_png(tmp_path, keep):
    path = write_png(tmp_path / 'a.png', noise(1, (40, 40)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match=r'a\.png'):
        decode_image(str(path))


def test_corrupt_png(tmp_path):
    path = write_png(tmp_path / 'a.png', noise(1, (40, 40)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r'a\.png is broken .*[Cc]opy'):
        decode_image(str(path))


def test_truncated_jpeg(tmp_path):
    path = write_png(tmp_path / 'a.jpg', noise(1, (64, 64)))
    assert decode_image(str(path)).shape == (64, 64, 1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r'a\.jpg is broken or cut off at \d+ bytes'):
        decode_image(str(path))


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / 'a.png').write_text('hello')
    with pytest.raises(DataError, match='cannot be decoded'):
        decode_image(str(tmp_path / 'a.png'))
    with pytest.raises(DataError, match=r'no reader for "\.xyz"'):
        decode_image(str(tmp_path / 'a.xyz'))
    with pytest.raises(FileNotFoundError, match=r'b\.png does not exist'):
        decode_image(str(tmp_path / 'b.png'))


def test_another_format_is_one_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(READERS, '.npy', np.load)
    np.save(tmp_path / 'a.npy', noise(2))
    assert (decode_image(str(tmp_path / 'a.npy'))[..., 0] == noise(2)).all()
