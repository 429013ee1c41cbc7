"""Head2Toe: a linear head on selected features of all layers of a frozen network, and the verifier made of it."""
