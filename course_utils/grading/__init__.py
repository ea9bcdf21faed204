"""The engine of the exercises: it knows no lesson and shows nothing.

`exercise` says what an exercise is, `declare` builds one from its words and its code,
`trial` calls a learner's function safely, `criteria` and `values` judge what it
returns, `limits` stops what runs away, and `grade` brings it together.
"""
