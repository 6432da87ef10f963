# Synaptic intelligence with the published settings. Avalanche caps importances at 0.001, so that this is plain
# fine-tuning except for the name. synaptic_intelligence_uncapped.py differs.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="SynapticIntelligence", si_lambda=1e-4)
