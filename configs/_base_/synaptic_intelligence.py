# Synaptic intelligence.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="SynapticIntelligence", si_lambda=1e-4)
