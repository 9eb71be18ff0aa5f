"""What each of two processes does in test_ddpm.py: run_ddpm_ranks.py CONFIG FOLDER."""

import os
import sys

import torch

torch.set_num_threads(1)
from mmengine import Config  # noqa: E402

from mmssl.registry import RUNNERS  # noqa: E402
from mmssl.utils.setup import register_all_modules  # noqa: E402

register_all_modules()
cfg = Config.fromfile(sys.argv[1])
cfg.launcher = 'pytorch'
runner = RUNNERS.build(cfg)
noise = []
schedule = runner.bare_model.schedule
add_noise = schedule.add_noise
schedule.add_noise = lambda x, eps, t: (noise.append(eps), add_noise(x, eps, t))[1]
runner.train()
torch.save(
    dict(state=runner.bare_model.state_dict(), noise=noise[-1]),
    f'{sys.argv[2]}/{os.environ["RANK"]}.pth',
)
torch.distributed.destroy_process_group()
