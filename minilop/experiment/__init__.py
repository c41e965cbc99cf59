"""Running problems: settings, blocks of runs, checkpoints, results, engines and progress.

Nothing here knows an algorithm. A problem hands over a `Scale` per name and starts `Runs`; the rest is bookkeeping.
"""
