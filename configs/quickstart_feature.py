# The second config of `clearctl demo`: a linear head on features. Run the demo once, then
#   clearctl train configs/quickstart_feature.py --dataset-root clearctl-demo/dataset
_base_ = ["../clearctl/demo/quickstart_feature.py"]
