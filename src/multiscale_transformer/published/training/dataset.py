"""What reads a training corpus, under the published module name; the names in that module are not known."""

from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.data.documents import Documents

__all__ = ["Corpus", "Documents", "load_corpus"]
