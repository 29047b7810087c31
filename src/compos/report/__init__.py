"""Looking inside: what a system is made of, and how large each part is."""
