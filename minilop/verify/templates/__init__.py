"""Adapters to start from; `python -m minilop.verify new-adapter torch|jax|numpy` copies one to the current folder."""
