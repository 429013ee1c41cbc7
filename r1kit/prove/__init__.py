"""`r1kit prove`: check on a small random model of the recipe's architecture that the trainer does what it says."""
