"""From images of any format to masks that lie on them: one, a stream, or a folder."""

from mmssl.apis.prediction.cleaning import Cleaning
from mmssl.apis.prediction.folder import Extras, PredictionFolder
from mmssl.apis.prediction.inputs import Item, find_items
from mmssl.apis.prediction.predictor import Predictor, predict
from mmssl.apis.prediction.result import Prediction, Size
from mmssl.apis.prediction.wishes import Chosen, Wishes

__all__ = [
    'Chosen',
    'Cleaning',
    'Extras',
    'Item',
    'Prediction',
    'PredictionFolder',
    'Predictor',
    'Size',
    'Wishes',
    'find_items',
    'predict',
]
