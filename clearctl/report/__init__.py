"""Reports of run folders: means over seeds, the paper's table, a page. Only run folders are read, without torch."""
