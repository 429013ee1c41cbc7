"""r1kit: reasoning LLMs by the DeepSeek-R1 recipe."""

__version__ = "0.1.0"
