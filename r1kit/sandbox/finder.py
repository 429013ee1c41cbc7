"""Import modules by the names of their files, where the directories that hold them cannot be listed.

With Landlock a process may read Python's own modules (python_files.py) and the allowed packages, one by one, and no
file beside them. Python's own finder lists a directory first, and finds nothing there.

This file runs inside the box (boot.py), and imports nothing of r1kit.
"""

import os


class ModuleFinder:
    """A finder for sys.meta_path: it knows the files of certain modules, and nothing beside these files."""

    def __init__(self, files_by_name):
        self.files_by_name = files_by_name

    def find_spec(self, name, path=None, target=None):
        """Return the spec of a module by its file, or of a package by its `__init__` file; None for other names."""
        file = self.files_by_name.get(name)
        if file is None:
            return None
        from importlib.util import spec_from_file_location

        is_package = os.path.basename(file).startswith("__init__.")
        return spec_from_file_location(
            name, file, submodule_search_locations=[os.path.dirname(file)] if is_package else None
        )
