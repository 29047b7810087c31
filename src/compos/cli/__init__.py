"""The command line: one file a verb, no logic of its own."""

import gc

# A tree is hundreds of thousands of tuples, none of them in a circle: looking for circles among
# them took a third of a build of 100,000 files. Set before anything else is imported, whose classes
# and functions stay anyway.
gc.set_threshold(100_000, 20, 20)
