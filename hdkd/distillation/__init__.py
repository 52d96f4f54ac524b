"""How a teacher's knowledge enters the loss: HDKD and what it is compared with, a file per method.

A file that describes itself in ``ABOUT`` is a method and is known by the file's name.
"""
