"""Runs: a config becomes objects (`build`), which learn bucket after bucket (`loop`) and are tested (`evaluate`)."""
