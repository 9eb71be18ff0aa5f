# SynFoC for short trainings on structures of which some are hard: the more confident half of the
# pixels of each class teach, where a threshold for all classes keeps the hard ones silent.
_base_ = './lite_fundus_short.py'
model = dict(threshold=dict(_delete_=True, type='ClassBalancedThreshold', share=0.5))
