# KLDA: linear discriminant analysis of random Fourier features. It needs the head of
# models/random_fourier_features.py.
dialect = "clearctl"
cl_strategy = dict(type="KLDA", shrinkage_param=0.0, train_mb_size=1024, eval_mb_size=1024)
