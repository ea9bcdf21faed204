"""How lessons are made: normalised, executed, checked, copied for learners.

``normalise`` brings a notebook into its one reviewable form, ``execute`` runs it,
``rules`` holds the rules every lesson keeps, ``workbook`` makes the learner's copy.
``python -m tools.lessons`` is the command line.
"""
