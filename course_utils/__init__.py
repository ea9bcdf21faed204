"""What the lessons import: a room for each kind of thing, one idea a module.

``objectives``, ``data``, ``oracles`` → ``models`` → ``training``, ``metrics``,
``linter`` → ``experiments``, ``plots``, ``widgets`` → ``pictures``; ``grading`` →
``exercises`` → ``check``. A later room imports an earlier one, never the reverse.
Importing the package loads none of them.
"""

__version__ = "0.1.0"
