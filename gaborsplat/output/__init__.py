"""Files of a run folder, one kind each; `run_folder.py` says where they are."""
