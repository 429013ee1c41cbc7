"""Which language a text is in (detect.py), and what counts as a word of it (words.py)."""
