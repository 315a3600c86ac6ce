"""Draws rooms: a ray caster, the pieces that rooms are made of, and the cameras that look at them."""
