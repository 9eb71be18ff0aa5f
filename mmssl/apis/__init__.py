"""Use a trained model from Python."""

from mmssl.apis.inference import inference_model, init_model
from mmssl.apis.other_model import OtherModel
from mmssl.apis.prediction import Prediction, predict
from mmssl.apis.publish import publish

__all__ = ['OtherModel', 'Prediction', 'inference_model', 'init_model', 'predict', 'publish']
