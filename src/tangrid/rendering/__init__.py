"""Pictures and meshes of surfaces in the unit box that are given by a function."""
