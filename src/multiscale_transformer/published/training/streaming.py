"""What streams training windows, under the published module name; the names in that module are not known."""

from multiscale_transformer.data.corpus import stream_documents
from multiscale_transformer.data.stream import WindowStream

__all__ = ["WindowStream", "stream_documents"]
