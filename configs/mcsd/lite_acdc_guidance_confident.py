# Features that reach network A: its strong views follow A or B, whichever is more confident.
_base_ = './lite_acdc_guidance.py'
model = dict(guidance='confident')
