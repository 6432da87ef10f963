# model.head: type is missing, expected the name of a head
_base_ = ["../../../configs/tiny.py"]
model = dict(head=dict(_delete_=True, num_classes=4, in_channels=5))
