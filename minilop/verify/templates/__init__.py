"""Adapters to begin with; `python -m minilop.verify new-adapter torch|jax|numpy` copies one into the present folder."""
