"""Pruning of layers, widths and vocabulary, and 2:4 sparsity. Each writes a folder in the published layout."""

from .depth import prune_depth
from .report import Pruned
from .sparse import sparsify_24
from .vocabulary import prune_vocabulary
from .width import prune_width

__all__ = ["Pruned", "prune_depth", "prune_vocabulary", "prune_width", "sparsify_24"]
