"""The table of signed distances: models on meshes, by equal time and parameters."""
