"""What a handful of runs says: numbers alone, of which no module here knows whose they are."""
