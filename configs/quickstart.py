# The config of `clearctl demo`: a small network from scratch on the demo's stream. Run the demo once, then
#   clearctl train configs/quickstart.py --dataset-root clearctl-demo/dataset
_base_ = ["../clearctl/demo/quickstart.py"]
