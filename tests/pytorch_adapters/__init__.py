"""The learners of minilop written a second time in plain PyTorch: modules, autograd, and torch.optim where it fits.

learners.py       one step of learning of a network        networks.py             the networks as modules
optimization.py   its optimizer and that one's state       optimizers.py           what torch.optim does not have
replacement.py    what a replaced unit loses and gets      continual_backprop.py, redo.py   who is replaced
linear.py, prediction.py, functions.py, ppo.py, curve.py   the other kinds of cases

Nothing here imports minilop: the vectors are checked by code that shares no line with what made them.
"""
