"""Hash what four steps of every method give: run_fingerprints.py [FILE | --compare FILE].

The hashes are of all terms of the loss and of all parameters and buffers after each step, of the
entries of `test_all_methods.py`, in float32, on one thread, with dropout and BatchNorm. A change
that is to move no number is checked by writing them to a file before it and comparing after it, on
one machine.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from mmssl.testing import MethodTester, set_iter  # noqa: E402
from tests.models.methods import test_all_methods  # noqa: E402

STEPS, MAX_ITERS = 4, 100
STARTS = (0, 60)  # early, where pre-trainings last, and late, where all terms count


def digest(tensors: dict[str, torch.Tensor]) -> str:
    """Return a hash of the values of named tensors."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().contiguous()
        found.update(f'{name}{tuple(value.shape)}{value.dtype}'.encode())
        found.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b'')
    return found.hexdigest()[:16]


def fingerprint(tester: type[MethodTester], start: int) -> list[str]:
    """Return the hash of the terms and of the state after each step."""
    model = tester.model()
    hook = tester.hook(model) if model.teachers else None
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer, found = torch.optim.SGD(learning, lr=0.05, momentum=0.9), []
    torch.manual_seed(3)
    for t in range(STEPS):
        set_iter(start + t, MAX_ITERS)
        terms = tester.loss(model, tester.batch(seed=t))
        optimizer.zero_grad()
        terms['loss'].backward()
        optimizer.step()
        if hook:
            hook.update(t)
        found += [digest(terms), digest(model.state_dict())]
    return found


def main(*args: str) -> int:
    """Write the hashes, or compare them with a file's; 1 if one differs."""
    torch.set_num_threads(1)
    entries = {
        name: entry
        for name, entry in vars(test_all_methods).items()
        if isinstance(entry, type) and issubclass(entry, MethodTester) and hasattr(entry, 'config')
    }
    found = {
        f'{name}@{start}': fingerprint(entry, start)
        for name, entry in sorted(entries.items())
        for start in STARTS
    }
    if args[:1] != ('--compare',):
        text = json.dumps(found, indent=1)
        Path(args[0]).write_text(text) if args else print(text)
        return 0
    before = json.loads(Path(args[1]).read_text())
    for name in sorted({*found, *before}):
        if found.get(name) != before.get(name):
            print(f'{name} differs: {before.get(name)} before, {found.get(name)} now')
    same = found == before
    print(f'{len(found)} runs are equal to the last bit' if same else 'NOT equal')
    return int(not same)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
