"""Generators of the embedded datasets, apart from the tasks that read them; nothing here registers itself."""
