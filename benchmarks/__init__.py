"""Speed of our steps and of a peer's, in paired rounds within one process on one thread. Nothing is asserted.

python -m benchmarks --list
python -m benchmarks NAME ... [--json FILE]
"""
