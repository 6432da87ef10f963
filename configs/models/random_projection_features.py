# A linear head on randomly projected features, of ResNet-50; what the strategy RanPAC writes. projection_dim is the
# paper's: 10,000 makes a matrix of 400 MB, several times, and takes a GPU or patience.
model = dict(head=dict(type="RandomProjectionHead", num_classes=11, in_channels=2048, projection_dim=10000))
