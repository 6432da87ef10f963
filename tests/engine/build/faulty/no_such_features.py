# scenario.feature_type: no features 'moco_b0' in {root}/training_folder/features: found none
_base_ = ["../../../configs/tiny.py"]
scenario = dict(feature_type="moco_b0")
