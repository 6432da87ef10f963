# FeCAM: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/fecam.py"]

name = "FeCAM"
# Features of ViTs may be below 0, where the paper's Tukey transform is not defined: 1.0 leaves them as they are.
model = dict(head=dict(_delete_=True, type="FeCAMHead", num_classes=11, in_channels="features", tukey=1.0))
work_dir = "./work_dirs/foundation/streaming_fecam"
