"""The pages of the documentation whose numbers come from records, and what they are made with."""
