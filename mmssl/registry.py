"""Registries of mmssl: scope `mmssl`, filled on first use.

They are children of mmengine's, but for the models, whose parent is mmsegmentation's registry: a
stock network finds its own parts there, and its name needs no prefix unless mmssl has the same.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

from mmssl.compat import replace_missing_ops
from mmssl.utils.config.components import check_components

replace_missing_ops()
check_components()
from mmseg.registry import MODELS as MMSEG_MODELS  # noqa: E402


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope='mmssl', locations=[location])


RUNNERS = _child('runner', MMENGINE_RUNNERS, 'mmssl.engine')
LOOPS = _child('loop', MMENGINE_LOOPS, 'mmssl.engine')
HOOKS = _child('hook', MMENGINE_HOOKS, 'mmssl.engine')
OPTIM_WRAPPERS = _child('optim_wrapper', MMENGINE_OPTIM_WRAPPERS, 'mmssl.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'mmssl.engine'
)
OPTIMIZERS = _child('optimizer', MMENGINE_OPTIMIZERS, 'mmssl.engine')
PARAM_SCHEDULERS = _child('parameter scheduler', MMENGINE_PARAM_SCHEDULERS, 'mmssl.engine')
MODEL_WRAPPERS = _child('model_wrapper', MMENGINE_MODEL_WRAPPERS, 'mmssl.engine')
LOG_PROCESSORS = _child('log_processor', MMENGINE_LOG_PROCESSORS, 'mmssl.engine')
DATASETS = _child('dataset', MMENGINE_DATASETS, 'mmssl.datasets')
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'mmssl.datasets')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'mmssl.datasets')
FUNCTIONS = _child('function', MMENGINE_FUNCTIONS, 'mmssl.datasets')
MODELS = _child('model', MMSEG_MODELS, 'mmssl.models')
WEIGHT_INITIALIZERS = _child('weight initializer', MMENGINE_WEIGHT_INITIALIZERS, 'mmssl.models')
TASK_UTILS = _child('task util', MMENGINE_TASK_UTILS, 'mmssl.models')
EVALUATOR = _child('evaluator', MMENGINE_EVALUATOR, 'mmssl.evaluation')
METRICS = _child('metric', MMENGINE_METRICS, 'mmssl.evaluation')
VISBACKENDS = _child('vis_backend', MMENGINE_VISBACKENDS, 'mmssl.visualization')
VISUALIZERS = _child('visualizer', MMENGINE_VISUALIZERS, 'mmssl.visualization')

# Strategies of the methods: how a weight grows, which pixels count, how two teachers or two images
# are mixed.
RAMPS = Registry('ramp', scope='mmssl', locations=['mmssl.models'])
THRESHOLDS = Registry('threshold', scope='mmssl', locations=['mmssl.models'])
ENSEMBLES = Registry('ensemble', scope='mmssl', locations=['mmssl.models'])
MIXERS = Registry('mixer', scope='mmssl', locations=['mmssl.models'])
