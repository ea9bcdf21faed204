"""What the lessons import: small modules, one idea each, in the order data flows.

``data`` → ``models`` → ``objectives``, ``oracles`` → ``training`` → ``metrics`` →
``plots``, ``widgets`` → ``exercises``, ``check`` → ``authoring``. A later room imports
an earlier one, never the reverse. Importing the package loads none of them.
"""

__version__ = "0.1.0"
