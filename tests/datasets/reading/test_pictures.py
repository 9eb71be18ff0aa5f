"""What picture files hold beside one plane of 8 bits: the right array, or advice that works."""

import io
import os
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from fake_files import noise
from pictures_of import drawn, encoded, palette, tagged, tiff
from PIL import Image, ImageOps

from mmssl.datasets.reading.decode import DataError, LabelMap, decode_image, decode_mask
from mmssl.datasets.reading.pictures import read_picture
from mmssl.datasets.reading.volumes import Source

IDS = np.zeros((12, 16), np.uint8)
IDS[2:9, 3:12] = 1
IDS[4:6, 5:9] = 2
ONE = (IDS > 0).astype(np.uint8)
VALUES, BINARY = {0: 0, 1: 1, 2: 2}, {0: 0, 255: 1}
COLOURS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2}
RGB = np.array(list(COLOURS), np.uint8)[IDS]
BLACK, RED, GREEN = COLOURS
GREY = noise(3, (12, 16))
COLOUR = noise(4, (12, 16, 3))


def mask(path, label_map):
    return decode_mask(str(path), LabelMap.build(label_map), IDS.shape)


def advised(error) -> dict:
    """Return the first label map that a message writes out."""
    text = re.search(r'label_map=(\{.*?\})', str(error)).group(1)
    return LabelMap.build(text)


@pytest.mark.parametrize('kind', ['u1', 'i1', 'u2', 'i2', 'u4', 'i4', 'f4', 'f8'])
@pytest.mark.parametrize('order', ['<', '>'])
def test_numeric_types_of_tiff(tmp_path, kind, order):
    path = tmp_path / 'a.tif'
    path.write_bytes(tiff(IDS.astype(kind), order=order))
    assert (mask(path, VALUES) == IDS).all()
    if kind == 'u1':
        return
    values = np.arange(192).reshape(12, 16).astype(kind)
    path.write_bytes(tiff(values, order=order))
    image = decode_image(str(path), value_range='volume')
    low, high = float(values.min()), float(values.max())
    want = ((values.astype(float) - low) / (high - low) * 255).astype(np.uint8)
    assert np.abs(image[..., 0].astype(int) - want).max() <= (kind == 'f4')


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_colours_of_16_bit_keep_their_bits(tmp_path, suffix):
    deep = COLOUR.astype(np.uint16) * 256 + 77
    path = tmp_path / f'a.{suffix}'
    data = tiff(deep) if suffix == 'tif' else cv2.imencode('.png', deep[..., ::-1])[1].tobytes()
    path.write_bytes(data)
    assert (read_picture(str(path)).pixels == deep).all()


def test_pillow_and_opencv_decode_8_bit_alike(tmp_path):
    """The numbers of trained models depend on it: no pixel differs between the two decoders."""
    smooth = cv2.GaussianBlur(noise(5, (37, 50, 3)), (0, 0), 2)
    grey = smooth[..., 0].copy()
    files = [encoded(image, kind) for image in (smooth, grey) for kind in ('PNG', 'BMP', 'JPEG')]
    files += [tiff(smooth), encoded(smooth, 'TIFF', compression='tiff_lzw')]
    for quality in (30, 90, 100):
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                options = dict(quality=quality, subsampling=subsampling, progressive=progressive)
                files.append(encoded(smooth, 'JPEG', **options))
    path = tmp_path / 'a.png'  # the suffix does not matter
    for data in files:
        path.write_bytes(data)
        want = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        want = want[..., ::-1] if want.ndim == 3 else want[..., None]
        assert (decode_image(str(path), want.shape[2]) == want).all()


@pytest.mark.parametrize('tag', range(1, 9))
@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'TIFF', 'WEBP', 'deep png', 'deep tif', 'palette'])
def test_orientation_tags_are_obeyed_in_every_format(tmp_path, kind, tag):
    plain, deep = Image.fromarray(COLOUR), COLOUR.astype(np.uint16) * 257
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(tagged(plain, tag))))
    want, path = np.asarray(upright), tmp_path / 'a.tif'
    if kind == 'palette':
        path.with_suffix('.png').write_bytes(tagged(palette(IDS), tag))
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(tagged(Image.fromarray(IDS), tag))))
        found = decode_mask(str(path.with_suffix('.png')), LabelMap(VALUES))
        assert (found == np.asarray(turned)).all()
        return
    if kind == 'deep png':
        bare = cv2.imencode('.png', deep[..., ::-1])[1].tobytes()
        exif = Image.Exif()
        exif[274] = tag
        body = b'eXIf' + exif.tobytes()[6:]
        chunk = struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
        data = bare[:33] + chunk + bare[33:]
    elif kind == 'deep tif':
        data = tiff(deep, tag)
    elif kind == 'JPEG':
        data = tagged(plain, tag, kind, quality=95)
        want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    else:
        data = tagged(plain, tag, kind, **(dict(lossless=True) if kind == 'WEBP' else {}))
    path.write_bytes(data)
    assert (decode_image(str(path), 3, value_range=(0, 65535)) == want).all()


def test_a_mask_that_lies_on_its_side(tmp_path):
    """A mask beside a tagged photograph is right as it is seen, an error as it is stored."""
    image, path = tmp_path / 'i.jpg', tmp_path / 'm.png'
    image.write_bytes(tagged(Image.fromarray(GREY), 6, 'JPEG'))
    like = Source(str(image), 'image')
    shape = decode_image(str(image)).shape[:2]
    path.write_bytes(encoded(ONE * 255))
    with pytest.raises(DataError, match=r'12x16, its image 16x12 .* its image 6.*exif_transpose'):
        decode_mask(str(path), LabelMap(BINARY), shape, like=like)
    exif = tagged(Image.fromarray(ONE * 255), 6)
    ImageOps.exif_transpose(Image.open(io.BytesIO(exif))).save(path)
    found = decode_mask(str(path), LabelMap(BINARY), shape, like=like)
    assert (found == np.rot90(ONE, -1)).all()


MEANT = {
    'ids in colours': (palette(IDS, BLACK, RED, GREEN), VALUES, IDS),
    'colours': (palette(IDS, BLACK, RED, GREEN), COLOURS, IDS),
    'ids on grey': (palette(IDS, *[(i, i, i) for i in range(256)]), VALUES, IDS),
    'ids, no palette': (palette(IDS), VALUES, IDS),
    'two greys': (palette(ONE, BLACK, (255, 255, 255)), BINARY, ONE),
    'two greys turned': (palette(1 - ONE, (255, 255, 255), BLACK), BINARY, ONE),
    'transparent index': (palette(IDS, BLACK, RED, GREEN), VALUES, IDS),
    'bits': (Image.fromarray(ONE * 255).convert('1'), BINARY, ONE),
    'even alpha': (Image.fromarray(np.dstack([ONE * 255, 0 * ONE + 9]), 'LA'), BINARY, ONE),
    'seen shape': (Image.fromarray(np.dstack([RGB, 255 * ONE])), COLOURS, IDS),
    'grey in three': (Image.fromarray(np.repeat(IDS[..., None], 3, 2)), VALUES, IDS),
    '16 bit': (Image.fromarray(IDS.astype(np.uint16) * 1000), {0: 0, 1000: 1, 2000: 2}, IDS),
}  # fmt: skip


@pytest.mark.parametrize('name', MEANT)
def test_masks_that_can_only_mean_one_thing(tmp_path, name):
    picture, label_map, want = MEANT[name]
    options = dict(transparency=0) if name == 'transparent index' else {}
    picture.save(tmp_path / 'a.png', **options)
    assert (mask(tmp_path / 'a.png', label_map) == want).all()
    if picture.mode in ('P', '1', 'L'):
        picture.save(tmp_path / 'a.gif')
        assert (mask(tmp_path / 'a.gif', label_map) == want).all()


# What is asked, and which of the ways out that the message names gives which mask.
CHOICES = {
    'one colour for two ids': (
        palette(IDS, BLACK, RED, BLACK), COLOURS,
        [(VALUES, IDS), ({**COLOURS, 'counts': 'colour'}, np.where(IDS == 1, 1, 0))],
    ),
    'ids or greys': (
        palette(IDS, (1, 1, 1), BLACK, (2, 2, 2)), VALUES,
        [({**VALUES, 'counts': 'index'}, IDS),
         ({**VALUES, 'counts': 'colour'}, np.array([1, 0, 2])[IDS])],
    ),
    'greys beside unlisted ids': (
        palette(IDS * 2, BLACK, BLACK, (255, 255, 255), BLACK, BLACK), {0: 0, 255: 1},
        [({0: 0, 255: 1, 'counts': 'colour'}, np.array([0, 1, 0])[IDS])],
    ),
    'black on transparent': (
        drawn(IDS), BINARY, [({**BINARY, 'counts': 'alpha'}, ONE),
                             ({**BINARY, 'counts': 'colour'}, 0 * ONE)],
    ),
    'white on transparent': (
        drawn(IDS, (255, 255, 255)), BINARY, [({**BINARY, 'counts': 'alpha'}, ONE)],
    ),
    'grey on transparent': (
        drawn(IDS, (9, 9, 9), 'LA'), BINARY, [({**BINARY, 'counts': 'alpha'}, ONE)],
    ),
    'red on transparent': (
        drawn(IDS, RED), COLOURS, [({**BINARY, 'counts': 'alpha'}, ONE)],
    ),
    'rubbed out': (
        Image.fromarray(np.dstack([RGB, np.where(IDS == 2, 0, 255).astype(np.uint8)])), COLOURS,
        [({**COLOURS, 'counts': 'colour'}, IDS)],
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', CHOICES)
def test_masks_that_can_mean_two_things(tmp_path, name):
    picture, label_map, ways = CHOICES[name]
    path = tmp_path / 'a.png'
    picture.save(path)
    with pytest.raises(DataError) as error:
        mask(path, label_map)
    assert str(path) in str(error.value) and '\n' not in str(error.value)
    for way, want in ways:
        said = f'"counts": "{way["counts"]}"' if 'counts' in way else 'label_map={0: ...'
        assert said in str(error.value)
        assert (mask(path, way) == want).all()
    if name == 'rubbed out':
        flat = Image.new('RGBA', picture.size, (0, 0, 0, 255))
        Image.alpha_composite(flat, picture).convert('RGB').save(path)
        assert (mask(path, label_map) == np.where(IDS == 1, 1, 0)).all()


def test_lossy_masks_and_the_advice_in_all_its_forms(tmp_path):
    path = tmp_path / 'a.jpg'
    big = np.kron(ONE, np.ones((5, 5), np.uint8))
    path.write_bytes(encoded(big * 255, 'JPEG', quality=60))
    with pytest.raises(DataError, match='JPEG and the like') as error:
        decode_mask(str(path), LabelMap(BINARY))
    text = re.search(r'label_map=(\{.*\})', str(error.value)).group(1)
    for form in (
        text,
        text.split(','),  # what the command line makes of it
        {**BINARY, 'nearest': True},
        {'0': 0, '255': 1, 'nearest': True},
        dict(mapping=BINARY, nearest=True),
        {0: 1, 255: 0, 'mapping': BINARY, 'nearest': True},  # added to a base config
    ):
        assert (decode_mask(str(path), LabelMap.build(form)) == big).mean() > 0.99
    colours = np.kron(RGB.astype(np.uint8), np.ones((5, 5, 1), np.uint8))
    path.write_bytes(encoded(colours, 'JPEG', quality=90, subsampling=0))
    for label_map in (COLOURS, VALUES):
        with pytest.raises(DataError) as error:
            decode_mask(str(path), LabelMap(label_map))
        assert '"nearest": True' in str(error.value)
    found = decode_mask(str(path), LabelMap(COLOURS, nearest=True))
    assert (found == np.kron(IDS, np.ones((5, 5), np.uint8))).mean() > 0.98


def test_values_that_are_not_listed(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(IDS).save(path)
    with pytest.raises(DataError, match=r'has value 2, .*\(2: 0, say\)') as error:
        mask(path, {0: 0, 1: 1})
    assert (mask(path, {0: 0, 1: 1, 2: 0}) == (IDS == 1)).all()
    assert (mask(path, {0: 0, '1-128': 1}) == ONE).all()
    assert (advised(error.value)(IDS) == ONE).all()
    Image.fromarray(RGB).save(path)
    with pytest.raises(DataError, match=r'List its 3 colours.*label_map=\{\(0, 0, 0\): 0, '):
        mask(path, VALUES)
    assert (mask(path, COLOURS) == IDS).all()


def pages(kind):
    first, second = Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())
    return encoded(first, kind, save_all=True, append_images=[second])


def announcing(width: int, height: int) -> bytes:
    """Return a PNG file whose header announces a large picture."""
    head = b'IHDR' + struct.pack('>II5B', width, height, 8, 0, 0, 0, 0)
    packed = b'IDAT' + zlib.compress(b'\0' * 100)
    chunks = b''.join(
        struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
        for body in (head, packed, b'IEND')
    )
    return b'\x89PNG\r\n\x1a\n' + chunks


GREY_PNG = encoded(GREY)
# What is refused, the sentence, and the file that its advice leads to.
REFUSED = {
    'animation': (pages('PNG'), r'2 pictures.*file of its own', GREY_PNG),
    'pages': (pages('TIFF'), r'2 pictures.*file of its own', GREY_PNG),
    'gif': (pages('GIF'), r'2 pictures.*file of its own', GREY_PNG),
    'ink': (encoded(Image.fromarray(COLOUR).convert('CMYK'), 'JPEG'), 'CMYK.*grey', GREY_PNG),
    'lab': (encoded(Image.fromarray(COLOUR).convert('LAB'), 'TIFF'), 'LAB.*greyscale', GREY_PNG),
    'alpha': (
        encoded(np.dstack([0 * COLOUR, GREY])), 'in the alpha channel.*greyscale', GREY_PNG,
    ),
    'palette': (encoded(palette(GREY)), 'numbers of its palette.*greyscale', GREY_PNG),
    'two channels': (tiff(COLOUR[..., :2].astype('u2')), r'2 channel\(s\) of 16', GREY_PNG),
    'five channels': (tiff(noise(1, (12, 16, 5))), r'5 channel\(s\) of 8', GREY_PNG),
    'half floats': (tiff(GREY.astype(np.float16)), r'16 bit \(float\).*32-bit float', GREY_PNG),
    'huge': (announcing(100_000, 100_000), r'10000000000 pixels.*tiles', GREY_PNG),
    'large': (announcing(14_000, 14_000), r'196000000 pixels.*tiles', GREY_PNG),
    'empty': (b'', r'empty \(0 bytes\).*Copy', GREY_PNG),
    'text': (b'hello, I am no picture', 'cannot be decoded.*Replace', GREY_PNG),
    'cut png': (GREY_PNG[: len(GREY_PNG) // 2], 'broken or cut.*Copy', GREY_PNG),
    'cut tiff': (tiff(GREY)[:100], 'broken or cut.*Copy', GREY_PNG),
    'cut bmp': (encoded(GREY, 'BMP')[:-20], 'broken or cut.*Copy', GREY_PNG),
    'cut gif': (encoded(GREY, 'GIF')[:-60], 'broken or cut.*Copy', GREY_PNG),
    'cut deep tiff': (tiff(GREY.astype(np.float32))[:300], 'broken or cut.*Copy', GREY_PNG),
    '16 bit': (encoded(GREY.astype('u2') * 2), r'value_range="volume".*\(\d+, \d+\)', GREY_PNG),
}  # fmt: skip


@pytest.mark.parametrize('name', REFUSED)
def test_images_that_are_refused(tmp_path, name):
    data, sentence, better = REFUSED[name]
    path = tmp_path / 'a.png'
    path.write_bytes(data)
    with pytest.raises(DataError, match=sentence) as error:
        decode_image(str(path))
    assert str(path) in str(error.value) and '\n' not in str(error.value)
    path.write_bytes(better)
    assert (decode_image(str(path))[..., 0] == GREY).all()


def test_a_large_tiff_is_refused_by_its_directory(tmp_path):
    data = bytearray(tiff(GREY))
    for tag in (256, 257):
        place = data.index(struct.pack('<HHI', tag, 4, 1)) + 8
        data[place : place + 4] = struct.pack('<I', 100_000)
    (tmp_path / 'a.tif').write_bytes(data)
    with pytest.raises(DataError, match='100000 x 100000 pixels.*tiles'):
        decode_image(str(tmp_path / 'a.tif'))


def test_advice_on_ranges_works(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(encoded(GREY.astype(np.uint16) * 16 + 5))
    with pytest.raises(DataError) as error:
        decode_image(str(path))
    low, high = map(float, re.search(r'value_range=\((.*), (.*)\)', str(error.value)).groups())
    for value_range in ('volume', (low, high)):
        assert (np.ptp(decode_image(str(path), value_range=value_range))) == 255
    with pytest.raises(DataError, match='"volume" for its smallest and largest'):
        decode_image(str(path), value_range=(0, 1))


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'loose.png').symlink_to(tmp_path / 'nowhere.png')
    for name in ('pipe.png', 'folder.png'):
        with pytest.raises(DataError, match=rf'{name} is no file but a folder, pipe'):
            decode_image(str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match='loose.png does not exist'):
        decode_image(str(tmp_path / 'loose.png'))


def test_a_photograph_of_a_phone_and_interlaced_files(tmp_path):
    """A JPEG with a second picture behind it is the first; interlaced PNG is read as any other."""
    first, second = Image.fromarray(COLOUR), Image.fromarray(COLOUR[::-1].copy())
    (tmp_path / 'a.jpg').write_bytes(encoded(first, 'MPO', save_all=True, append_images=[second]))
    want = np.asarray(Image.open(io.BytesIO(encoded(first, 'JPEG'))))
    assert (decode_image(str(tmp_path / 'a.jpg'), 3) == want).all()
    (tmp_path / 'a.png').write_bytes(encoded(first, interlace=1))
    assert (decode_image(str(tmp_path / 'a.png'), 3) == COLOUR).all()
