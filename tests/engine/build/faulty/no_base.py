# a file named in _base_ is missing: tests/engine/build/faulty/nowhere.py
_base_ = ["nowhere.py"]
