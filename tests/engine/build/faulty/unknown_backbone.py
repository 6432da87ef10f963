# model.backbone.type: no backbone is called 'ResNt'; did you mean 'ResNet'?
_base_ = ["../../../configs/tiny.py"]
model = dict(backbone=dict(_delete_=True, type="ResNt", depth=18))
