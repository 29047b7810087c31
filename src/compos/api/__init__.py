"""The library: what the command line does, for programs. `compos.build`, `compos.load` and
`compos.inspect` are its functions; this package is imported when one of them is first used."""
