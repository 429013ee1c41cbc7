"""What can be known of a run before anything expensive: its data, its context, its servers and TRL's own checks.

`--dry-run` prints it all, and a stage refuses by the same functions before it loads a model. What is not on this
machine, such as a data set of the hub, is named in one line and is no error.
"""
