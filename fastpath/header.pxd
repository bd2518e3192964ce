# For the decoder: where the columns of a layout stand.
cdef class Header:
    cdef readonly object layout
    cdef readonly tuple columns
    cdef size_t position[8]  # of each part's column
    cdef size_t needed_count
