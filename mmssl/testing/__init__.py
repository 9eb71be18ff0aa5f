"""Test a method of your own: the checks that every method of the package passes.

    from mmssl.testing import MethodTester

    class TestMyMethod(MethodTester):
        config = 'my_method.py'

    class TestMyMethodOnVolumes(TestMyMethod):
        axes = 3

pytest finds the fixtures that they need by itself, wherever the package is installed.
"""

from mmssl.testing.emulated_graphs import EmulatedGraphs
from mmssl.testing.method_tester import MethodTester
from mmssl.testing.no_host_sync import assert_no_host_sync
from mmssl.testing.phantoms import phantom_batch
from mmssl.testing.small import (
    build,
    sam_segmentor,
    segmentor,
    set_iter,
    set_phase,
    volume_segmentor,
)
from mmssl.testing.two_processes import run_two

__all__ = [
    'EmulatedGraphs',
    'MethodTester',
    'assert_no_host_sync',
    'build',
    'phantom_batch',
    'run_two',
    'sam_segmentor',
    'segmentor',
    'set_iter',
    'set_phase',
    'volume_segmentor',
]
