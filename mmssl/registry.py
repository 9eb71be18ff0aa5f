"""Registries of mmssl: children of mmengine's, scope `mmssl`, filled on first use."""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope='mmssl', locations=[location])


RUNNERS = _child('runner', MMENGINE_RUNNERS, 'mmssl.engine')
LOOPS = _child('loop', MMENGINE_LOOPS, 'mmssl.engine')
HOOKS = _child('hook', MMENGINE_HOOKS, 'mmssl.engine')
OPTIM_WRAPPERS = _child('optim_wrapper', MMENGINE_OPTIM_WRAPPERS, 'mmssl.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'mmssl.engine'
)
LOG_PROCESSORS = _child('log_processor', MMENGINE_LOG_PROCESSORS, 'mmssl.engine')
DATASETS = _child('dataset', MMENGINE_DATASETS, 'mmssl.datasets')
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'mmssl.datasets')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'mmssl.datasets')
FUNCTIONS = _child('function', MMENGINE_FUNCTIONS, 'mmssl.datasets')
MODELS = _child('model', MMENGINE_MODELS, 'mmssl.models')
METRICS = _child('metric', MMENGINE_METRICS, 'mmssl.evaluation')
VISUALIZERS = _child('visualizer', MMENGINE_VISUALIZERS, 'mmssl.visualization')

# Strategies of the methods: how a weight grows, which pixels count, how two teachers are mixed.
RAMPS = Registry('ramp', scope='mmssl', locations=['mmssl.models'])
THRESHOLDS = Registry('threshold', scope='mmssl', locations=['mmssl.models'])
ENSEMBLES = Registry('ensemble', scope='mmssl', locations=['mmssl.models'])
