# scenario.train_transform.0.type: no transform is called 'RandomCropp'; did you mean 'RandomCrop'?
_base_ = ["../../../configs/tiny.py"]
scenario = dict(train_transform=[dict(type="RandomCropp", size=14), dict(type="ToTensor")])
