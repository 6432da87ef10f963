# Replay: CLEAR-100, images with ResNet-18, streaming protocol.
_base_ = ["../../clear10/image-res18/replay.py"]

scenario = dict(data_name="clear100_cvpr2022")
model = dict(head=dict(num_classes=100))
cl_strategy = dict(mem_size=10_000, train_mb_size=256, eval_mb_size=256)
work_dir = "./work_dirs/clear100/image-res18_replay"
