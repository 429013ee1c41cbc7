"""Models and tokenizers: load.py, templates.py, tokenizer.py (train a new one), size.py (count parameters), and
r1kit's decoder: decode.py, cache.py, jit_decode.py (a step without its Python), shared_prefix.py (a prompt run once).
"""
