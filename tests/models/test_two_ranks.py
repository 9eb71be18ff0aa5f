"""One step of two ranks equals one step of one process on the joined batch."""

import copy

import pytest
import torch
import torch.distributed as dist

from mmssl.testing.two_processes import run_two
from tests.tiny import GN, build, raw_batch, segmentor, set_iter, synfoc

CFG = synfoc(students=dict(sam=segmentor(norm=GN), unet=segmentor(norm=GN)))


def step(model, batch) -> dict[str, torch.Tensor]:
    """Make one SGD step and return the students' parameters."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    set_iter(30, 60)
    module = model.module if hasattr(model, 'module') else model
    inputs = module.data_preprocessor(copy.deepcopy(batch), True)['inputs']
    losses = model(inputs, mode='loss')
    losses['loss'].backward()
    optimizer.step()
    return {k: v.detach().clone() for k, v in module.students.named_parameters()}


def worker(rank: int, port: int, folder: str) -> None:
    """Step on this rank's half of the batch."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    model = torch.nn.parallel.DistributedDataParallel(build(CFG))
    batch = raw_batch(4, 4)
    batch['inputs'] = {k: v[2 * rank : 2 * rank + 2] for k, v in batch['inputs'].items()}
    torch.save(step(model, batch), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    run_two(worker, str(tmp_path))
    one = step(build(CFG), raw_batch(4, 4))
    ranks = [torch.load(tmp_path / f'{r}.pth') for r in range(2)]
    for name, value in one.items():
        assert torch.equal(ranks[0][name], ranks[1][name]), name
        assert torch.allclose(ranks[0][name], value, atol=1e-6), name
