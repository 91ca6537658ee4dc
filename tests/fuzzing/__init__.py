"""Coverage-guided fuzzing of all readers of files, and of command lines: `python tests/fuzzing/run.py --seconds 60`."""
