"""The verification kit: is my Continual Backprop right? docs/verify.md shows how to find out in ten minutes.

case.py         what is given and expected          adapter.py      runs an implementation on a case
comparison.py   is it the same?                     diagnosis.py    which known mistake is it?
reference/      minilop itself as an adapter        mistakes/       the reference with one deliberate mistake
catalogue/      which cases there are               generate.py     makes the vectors
judging.py      a judgement a case                  report.py       in words and as JSON, for __main__.py, the command
explanation.py  what a case wants                   conventions.py  what its conventions mean
pages.py        where minilop explains a quantity   curves.py       do learning curves agree?
gaps.py         what agreement leaves open
templates/      adapters to begin with              pytest_options.py, test_implementation.py    the cases as tests
"""
