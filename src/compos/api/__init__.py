"""The library behind the command line, for use from programs: `compos.build`, `compos.load` and
`compos.inspect`. This package is imported when one of them is first used."""
