# model.backbone.deph: ResNet has no argument 'deph'; did you mean 'depth'?
_base_ = ["../../../configs/tiny.py"]
model = dict(backbone=dict(deph=18))
