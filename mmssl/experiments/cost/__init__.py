"""What a training iteration costs: time, memory, arithmetic, and where all that goes."""

from mmssl.experiments.cost.adapter import Setting
from mmssl.experiments.cost.iteration import Iteration
from mmssl.experiments.cost.work import WorkCounter

__all__ = ['Iteration', 'Setting', 'WorkCounter']
