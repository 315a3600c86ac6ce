"""The tables: what columns, cells and captions say, and how terminal, Markdown, text and LaTeX show it."""
