"""Speed of our steps against a peer's, in paired rounds of one process on one thread. Nothing is asserted.

python -m benchmarks --list
python -m benchmarks NAME ... [--json FILE]
"""
