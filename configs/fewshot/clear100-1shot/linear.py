# Fine-tuning of a linear head: CLEAR-100, features moco_b0, iid protocol, 1 shot.
_base_ = ["../clear10-1shot/linear.py"]

scenario = dict(data_name="clear100_cvpr2022")
model = dict(head=dict(num_classes=100))
work_dir = "./work_dirs/fewshot/clear100_1shot_linear"
