# scenario.train_transform.0.sise: RandomCrop has no argument 'sise'; did you mean 'size'?
_base_ = ["../../../configs/tiny.py"]
scenario = dict(train_transform=[dict(type="RandomCrop", sise=14, size=14), dict(type="ToTensor")])
