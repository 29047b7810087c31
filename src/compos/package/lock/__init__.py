"""The lock of a system: which images and Debian packages it is made of, exactly (docs/lock.md).

    make ─▶ model ─▶ document ─▶ os.lock ─▶ document ─▶ model ─▶ sources, packages
    (what a build takes now)                                    (nothing but that)

`currency` compares a lock with what there is now, `mirror` carries its parts to a registry.
"""
