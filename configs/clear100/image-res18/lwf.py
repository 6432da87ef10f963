# Learning without forgetting: CLEAR-100, images with ResNet-18, streaming protocol.
_base_ = ["../../clear10/image-res18/lwf.py"]

scenario = dict(data_name="clear100_cvpr2022")
model = dict(head=dict(num_classes=100))
cl_strategy = dict(alpha=[i * 0.2 for i in range(11)], train_mb_size=256, eval_mb_size=256)
work_dir = "./work_dirs/clear100/image-res18_lwf"
