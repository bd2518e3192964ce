# For what reads values inside of a frame or a line.
from fastpath.text cimport Text

cdef Text text_of(bytes encoded) noexcept
cdef bytes name_fault(bytes name)
