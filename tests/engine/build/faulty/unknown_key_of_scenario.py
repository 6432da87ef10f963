# scenario.featur_type: scenario has no such key; did you mean 'feature_type'?
_base_ = ["../../../configs/tiny.py"]
scenario = dict(featur_type="moco_b0")
