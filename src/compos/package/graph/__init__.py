"""Which packages are built from which others, why each has to be built, and building them in that
order, several at a time."""
