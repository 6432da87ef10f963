# A linear head on random Fourier features of the kernel exp(-gamma |x - x'|^2); what the strategy KLDA writes. A good
# gamma depends on how far apart the features are.
model = dict(head=dict(type="RandomFourierHead", num_classes=11, in_channels=2048, projection_dim=5000, gamma=1e-4))
