# The papers' "biased reservoir": as reservoir.py, with a reservoir that can favour newer buckets.
_base_ = ["feature_training.py"]
cl_strategy = dict(
    type="GDumb",
    reset=False,
    buffer=dict(type="BiasedReservoirSamplingBuffer", max_size=2310, alpha_mode="Fixed", alpha_value=1.0),
)
