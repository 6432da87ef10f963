_base_ = ["../../clear10/moco-b0/biased_reservoir.py"]

scenario = dict(data_name="clear100")
model = dict(head=dict(num_classes=101))
work_dir = "./work_dirs/clear100/moco-b0_biased_reservoir"
