"""LinuxKit's rules, one by one: what a build's tar must hold. `rules.md` says which test holds
which rule of the reference."""
