"""The file system: root identity, the safe walk, the census, the trash and removal.

Nothing outside this package changes a directory tree, and inside it ``removal`` is the one module that
unlinks or removes anything and ``moves`` the one that renames. Everything works on directory descriptors.
"""
