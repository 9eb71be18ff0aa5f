"""Run the toy training in a process of its own: run_toy.py CONFIG_JSON."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import torch

torch.set_num_threads(1)
from engine_toy import ToyDataset, config  # noqa: E402

from mmssl.registry import RUNNERS  # noqa: E402

options = json.loads(sys.argv[1])
ToyDataset.kill_at = options.pop('kill_at', -1)
kill_in_save = options.pop('kill_in_save', None)
if kill_in_save:
    # die after the first bytes of the checkpoint of that iteration
    from mmssl.engine.checkpoints import io as checkpoint_io

    class Dying(checkpoint_io._Recorder):
        def write(self, data):
            if f'iter_{kill_in_save}.pth' in self.file.name:
                self.file.write(data[: max(1, len(data) // 2)])
                self.file.flush()
                os.kill(os.getpid(), 9)
            return super().write(data)

    checkpoint_io._Recorder = Dying
RUNNERS.build(config(**options)).train()
