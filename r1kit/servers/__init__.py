"""Requests to OpenAI-compatible servers.

client.py       what a request attempts, and what its failures mean
requests.py     request bodies, responses, kinds of errors
endpoints.py    connections to several servers, and which of them is asked next
defaults.py     the parameters that a recipe leaves off, which requests switch off
"""
