"""Use a trained model from Python."""

from mmssl.apis.inference import inference_model, init_model

__all__ = ['inference_model', 'init_model']
