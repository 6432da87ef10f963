# RanPAC: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/ranpac.py"]

name = "RanPAC"
model = dict(
    head=dict(_delete_=True, type="RandomProjectionHead", num_classes=11, in_channels="features", projection_dim=10000)
)
work_dir = "./work_dirs/foundation/streaming_ranpac"
