# a file named in _base_ is missing: tests/engine/faulty/nowhere.py
_base_ = ["nowhere.py"]
