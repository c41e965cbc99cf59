"""Running problems: settings, blocks of runs, checkpoints, results, engines and progress.

This package does not depend on any algorithm. A problem provides its scales and starts `Runs`; everything else is here.
"""
