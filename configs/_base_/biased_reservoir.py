# The papers' "biased reservoir": as reservoir.py, with a reservoir that can favour newer buckets.
_base_ = ["feature_training.py"]
cl_strategy = dict(
    type="GDumb",
    reset=False,
    # As in the authors' code, what enters takes the places of the newest of the earlier samples.
    buffer=dict(
        type="BiasedReservoirSamplingBuffer", max_size=3300, alpha_mode="Fixed", alpha_value=1.0, evict="newest"
    ),
)
