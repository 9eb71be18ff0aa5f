"""Segment a picture with an exported file: python run_onnx.py MODEL.onnx IMAGE.png MASK.png."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def nearest(x, size):
    """Resize (H, W) or (H, W, C) on the corner-aligned nearest grid."""
    rows, columns = (
        np.floor(np.arange(new) * (old - 1) / max(new - 1, 1) + 0.5).astype(int)
        for old, new in zip(x.shape[:2], size, strict=True)
    )
    return x[rows[:, None], columns]


def main(model, image, mask):
    """Write the class of each pixel of an image of 8 bit as a picture with a palette."""
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    facts = json.loads(session.get_modelmeta().custom_metadata_map['mmssl'])
    with Image.open(image) as file:
        x = file.convert('RGB' if facts['input']['shape'][1] == 3 else 'L')
    size = (x.height, x.width)
    for step in facts['preparation']:
        if step['resize'] == 'corner-aligned nearest':
            x = Image.fromarray(nearest(np.asarray(x), step['size']))
        else:
            x = x.resize(step['size'][::-1], Image.Resampling[step['resize'].upper()])
    x = np.atleast_3d(np.asarray(x, np.float32)).transpose(2, 0, 1)
    logits = session.run([facts['output']['name']], {facts['input']['name']: x[None]})[0]
    classes = Image.fromarray(nearest(logits[0].argmax(0), size).astype(np.uint8), 'P')
    classes.putpalette(bytes(np.array(facts['colours'], np.uint8).ravel()))
    classes.save(mask)


if __name__ == '__main__':
    main(*sys.argv[1:])
