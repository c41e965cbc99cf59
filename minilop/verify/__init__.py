"""The verification kit: is my implementation of Continual Backprop correct? docs/verify.md answers in ten minutes.

case.py         inputs and expected results         case_files.py   reads cases and checks their digests
adapter.py      runs an implementation on a case    comparison.py   compares its results with the expected ones
judging.py      one judgment per case               diagnosis.py    identifies known mistakes
report.py       judgments as text and as JSON       gaps.py         what the agreement does not cover
explanation.py  describes a case                    conventions.py  describes its conventions
pages.py        where minilop explains a quantity   curves.py       compares learning curves
reference/      minilop itself as an adapter        mistakes/       the reference with one deliberate mistake
catalogue/      definitions of the cases            generate.py     makes the vectors
templates/      adapters to start from              __main__.py     the command
pytest_options.py and test_implementation.py        run the cases as tests
"""
