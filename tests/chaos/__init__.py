"""Faults on purpose: runs killed, cut off or damaged must end with the same results.

``make chaos`` (``python -m chaos`` with ``tests`` on the path) does all of it and writes
``reports/reliability.md``; the tests marked slow do the same and demand that everything survives.
"""
