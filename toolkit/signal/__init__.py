"""Signals as numpy arrays: features, windows, baselines, simulated plants. The same code on both sides."""
