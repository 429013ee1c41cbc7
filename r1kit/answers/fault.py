"""FAULT: the reward of a row for which no verdict could be had.

An accuracy of 0 says that the answer is wrong. That would be a wrong signal where a sandbox died or a gold answer
does not parse, and so would `None`: the trainer would add up the row's other rewards to a low total. r1kit therefore
leaves rows with a FAULT out of their group's advantages and out of the loss, and counts them.
"""

import math

FAULT = math.inf
