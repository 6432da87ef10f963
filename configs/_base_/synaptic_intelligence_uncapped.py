# Synaptic intelligence as its paper has it: xi = 0.1 and no cap on importances. On the features of `clearctl demo` the
# mean below the diagonal was 0.62, where plain fine-tuning got 0.55 (quickstart_feature.py, one seed).
_base_ = ["feature_training.py"]
cl_strategy = dict(type="SynapticIntelligence", si_lambda=0.1, eps=0.1, max_importance=None)
