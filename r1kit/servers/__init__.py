"""Requests to OpenAI-compatible servers.

client.py       what a request attempts, and again after failures that may pass
unanswered.py   what a request that stays without an answer means
requests.py     request bodies, responses, kinds of errors
endpoints.py    connections to several servers, and which of them is asked next
defaults.py     the parameters that a recipe leaves off, which requests switch off
"""
