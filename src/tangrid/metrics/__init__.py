"""How far a reconstruction is from its target; pure functions on numpy arrays."""
