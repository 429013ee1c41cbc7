"""The value of a reward for which no verdict could be had."""

import math

FAULT = math.inf
