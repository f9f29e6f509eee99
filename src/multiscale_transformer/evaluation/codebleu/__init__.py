"""CodeBLEU (Ren et al. 2020, arXiv 2009.10297) on tree-sitter: how alike two texts of code are, in four parts."""
