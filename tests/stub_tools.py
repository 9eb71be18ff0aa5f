"""Programs in the place of train.py and test.py that need no time, and a config for them.

The config's `_fake` says what a training does: `fail`, `wait` that many seconds before it ends, or
`meet`: hold its GPU alone until that many trainings have begun. A start by torchrun tells its rank.
Scores are 10 * _fake.x + seed percent, an iteration takes 50 * _fake.x ms. Every start is a line of
`calls.txt` in the work folder.
"""

import textwrap

COMMON = """
    import json, os, runpy, signal, sys, time
    from pathlib import Path
    words = sys.argv[1:]
    work = Path(words[words.index('--work-dir') + 1])
    given = {f'_fake.{k}': str(v) for k, v in runpy.run_path(words[0]).get('_fake', {}).items()}
    given.update(w.split('=', 1) for w in words if '=' in w and not w.startswith('-'))
    work.mkdir(parents=True, exist_ok=True)
    def note(text):
        with (work / 'calls.txt').open('a') as file:
            file.write(text + os.linesep)
"""
TRAIN = (
    COMMON
    + """
    rank = os.environ.get('RANK')
    started = 'train ' + os.environ.get('CUDA_VISIBLE_DEVICES', '-') + (' amp' * ('--amp' in words))
    note(started if rank is None else f'{started} rank {rank}')
    assert '--resume' in words and Path(words[0]).exists()
    if given.get('_fake.fail') == 'True':
        print('first line')
        sys.exit('error: the disk is full')
    if float(given.get('_fake.wait', 0)) and not (work / 'half').exists():
        (work / 'pid').write_text(str(os.getpid()))
        (work / 'half').touch()
        try:
            time.sleep(float(given['_fake.wait']))
        except KeyboardInterrupt:
            note('ctrl-c')
            sys.exit(130)
    if int(given.get('_fake.meet', 0)):
        gpu = work.parent / ('gpu' + os.environ['CUDA_VISIBLE_DEVICES'])
        gpu.open('x').close()
        (work / 'met').touch()
        until = time.monotonic() + 60
        while len(list(work.parent.glob('*/met'))) < int(given['_fake.meet']):
            assert time.monotonic() < until, 'the others never came'
            time.sleep(0.01)
        gpu.unlink()
    cost = dict(iterations=9, time=50 * float(given['_fake.x']), memory=512, device='stub')
    (work / 'cost.json').write_text(json.dumps({'0': cost}))
    (work / 'iter_9.pth').touch()
    (work / 'best_unet_DSC_iter_4.pth').touch()
    (work / 'last_checkpoint').write_text('/elsewhere/iter_9.pth')
"""
)
TEST = (
    COMMON
    + """
    note('test ' + words[1])
    dsc = 10 * float(given.get('_fake.x', 1)) + float(given.get('randomness.seed', 0))
    def scores(dsc):
        return {'DSC': dsc, 'Jaccard': dsc / 2, 'HD95': 100 - dsc, 'ASD': None}
    parts = {'cup': scores(dsc - 1), 'disc': scores(dsc + 1)}
    entry = {'mean': scores(dsc), 'parts': parts,
             'domains': {'A': {'mean': scores(dsc), 'parts': parts, 'count': 2}}}
    def image(i):
        value = dsc + i % 3 - 1
        of_parts = {'cup': scores(value - 1), 'disc': scores(value + 1)}
        return {'name': f'{i:02d}', 'domain': 'A', 'case': f'{i}',
                'scores': {'unet': of_parts, 'sam': of_parts}}
    content = {'students': {'unet': entry, 'sam': {**entry, 'mean': scores(1.0)}},
               'images': [image(i) for i in range(12)],
               'protocol': {'text': 'per case'}}
    Path(words[words.index('--out') + 1]).write_text(json.dumps(content))
"""
)
CONFIG = """
_fake = dict(x=1, y=0, fail=False, wait=0, meet=0, groups=[1, 2])
model = dict(type='Any', neck=dict(blocks=(2, 4)))
randomness = dict(seed=0)
train_dataloader = dict(num_workers=2)
test_evaluator = dict(unit='pixel')
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(save_best=['unet/DSC', 'sam/DSC']))
"""


def write_stubs(folder):
    """Write the two programs and `config.py`; return the folder."""
    for name, text in (('train.py', TRAIN), ('test.py', TEST)):
        (folder / name).write_text(textwrap.dedent(text))
    (folder / 'config.py').write_text(CONFIG)
    return folder
