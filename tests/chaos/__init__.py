"""Faults on purpose: what is killed, cut off or damaged, and whether the results are the same in the end.

``make chaos`` (``python -m chaos`` with ``tests`` on the path) does all of it and writes
``reports/reliability.md``; the tests marked slow do the same and demand that everything survives.
"""
