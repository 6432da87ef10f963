_base_ = ["../clear10-1shot/cosine_lwf.py"]

scenario = dict(data_name="clear100")
model = dict(head=dict(num_classes=101))
work_dir = "./work_dirs/fewshot/clear100_1shot_cosine_lwf"
