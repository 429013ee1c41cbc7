"""One short file a command: load, build, run, save. Stages never import each other."""
