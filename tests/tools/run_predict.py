"""Run tools/predict.py with a model that needs no training, and that takes its time."""

import importlib.util
import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from identity import IdentityModel  # noqa: E402

from mmssl.utils.cli import run  # noqa: E402


class Slow(IdentityModel):
    """Say of each batch that it is under way, and wait for a moment."""

    def scores(self, *args, **options):
        os.write(1, b'batch\n')
        time.sleep(float(os.environ.get('PAUSE', '0')))
        return super().scores(*args, **options)


if __name__ == '__main__':
    file = Path(__file__).parents[2] / 'tools' / 'predict.py'
    spec = importlib.util.spec_from_file_location('predict_tool', file)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.open_model = lambda args: (Slow(), {'model': args.model})
    run(lambda: tool.main(sys.argv[1:]))
