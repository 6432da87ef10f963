# model.head.num_classes: found 2, but the dataset has 3 classes: set it to 3 or 'dataset'
_base_ = ["../../../configs/tiny.py"]
model = dict(head=dict(num_classes=2))
