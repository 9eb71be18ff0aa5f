"""Make the toy run importable for tests and for the processes they start."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)  # bits depend on the number of threads
