# Replay from a biased reservoir: alpha 1 in Fixed mode keeps an even share of every bucket, more favours newer ones.
_base_ = ["feature_training.py"]
cl_strategy = dict(
    type="Replay", buffer=dict(type="BiasedReservoirSamplingBuffer", max_size=3300, alpha_mode="Fixed", alpha_value=1.0)
)
