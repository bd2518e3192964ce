"""TLS for every listener of a process: one set of files, read again when they change."""

from services.runtime.tls.watched import TlsFiles

__all__ = ["TlsFiles"]
