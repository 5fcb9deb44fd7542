"""How far a run has come, and how large its photos are by then."""
