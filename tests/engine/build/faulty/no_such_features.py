# scenario.feature_type: no features 'moco_b0' in {root}/training_folder/features: there are none
_base_ = ["../../../configs/tiny.py"]
scenario = dict(feature_type="moco_b0")
