// Bytes that belong to a Python object, for as long as this lives, and the error that reading them may end with.
#pragma once
#include <Python.h>

namespace midstream {

// Made, filled and dropped with the GIL held; read without it.
class HeldBytes {
  public:
    HeldBytes() = default;
    HeldBytes(const HeldBytes&) = delete;
    HeldBytes& operator=(const HeldBytes&) = delete;
    ~HeldBytes() {
        if (view_.obj != nullptr) PyBuffer_Release(&view_);
    }

    // -1: the object has no bytes to give, and a Python error is set.
    int hold(PyObject* object) { return PyObject_GetBuffer(object, &view_, PyBUF_SIMPLE); }

    const char* data() const { return static_cast<const char*>(view_.buf); }
    size_t size() const { return static_cast<size_t>(view_.len); }

  private:
    Py_buffer view_{};
};

// For a handler of C++ exceptions: throws the one at hand once more.
[[noreturn]] inline void throw_again() { throw; }

}  // namespace midstream
