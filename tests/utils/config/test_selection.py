"""`selection='agreement'` in every config by one option, and nothing changed without it."""

from pathlib import Path

import pytest
from mmengine import Config

from mmssl.experiments.report import best_key
from mmssl.utils.config.selection import with_selection

CONFIGS = Path(__file__).parents[3] / 'configs'


def chosen_by_agreement(name, **options):
    cfg = Config.fromfile(CONFIGS / name)
    cfg.merge_from_dict({'val_evaluator.selection': 'agreement', **options})
    return cfg


@pytest.mark.parametrize('method', sorted(p.name for p in CONFIGS.iterdir() if p.name != '_base_'))
def test_every_method_keeps_the_best_of_each_of_its_students(method):
    for path in sorted((CONFIGS / method).glob('*.py')):
        before = Config.fromfile(path)
        assert with_selection(before) is before
        if not before.get('val_evaluator'):
            continue  # nothing is evaluated while it trains
        cfg = with_selection(chosen_by_agreement(path))
        old = before.default_hooks.checkpoint.get('save_best') or []
        new = cfg.default_hooks.checkpoint.save_best
        own = [key for key in new if key != 'agreement']
        assert own and all(key.endswith('/agreement') for key in own), path
        if old:
            assert [k.split('/')[0] for k in old] == [k.split('/')[0] for k in own], path
        assert ('agreement' in new) == (len(own) > 1)
        assert cfg.default_hooks.agreement == dict(type='AgreementHook')


def test_a_hook_of_ones_own_stays_and_options_are_taken():
    cfg = chosen_by_agreement('synfoc/lite_phantom.py', **{'default_hooks.agreement.num_images': 4})
    assert with_selection(cfg).default_hooks.agreement == dict(type='AgreementHook', num_images=4)
    cfg = chosen_by_agreement('synfoc/lite_phantom.py')
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='AgreementHook', rule='teacher')]
    assert 'agreement' not in with_selection(cfg).default_hooks


def test_the_best_checkpoint_of_a_comparison_is_that_of_all_students():
    cfg = chosen_by_agreement('synfoc/lite_phantom.py')
    assert best_key(cfg, None) == 'agreement' and best_key(cfg, 'sam') == 'sam/agreement'
    cfg = chosen_by_agreement('unimatch/lite_phantom.py')
    assert best_key(cfg, None) == 'unet/agreement'
    assert best_key(Config.fromfile(CONFIGS / 'synfoc/lite_phantom.py'), None) == 'sam/DSC'
