# scenario.train_transform.0: RandomCrop needs the argument 'size'
_base_ = ["../../../configs/tiny.py"]
scenario = dict(train_transform=[dict(type="RandomCrop"), dict(type="ToTensor")])
