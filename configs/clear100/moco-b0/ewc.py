# Online EWC: CLEAR-100, features moco_b0, streaming protocol.
_base_ = ["../../clear10/moco-b0/ewc.py"]

scenario = dict(data_name="clear100_cvpr2022")
model = dict(head=dict(num_classes=100))
# 200 epochs as in the predecessor; the papers' code has 100.
cl_strategy = dict(train_epochs=200)
work_dir = "./work_dirs/clear100/moco-b0_ewc"
