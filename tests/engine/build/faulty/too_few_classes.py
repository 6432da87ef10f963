# model.head.num_classes: found 2, but the dataset has 3 classes
_base_ = ["../../../configs/tiny.py"]
model = dict(head=dict(num_classes=2))
