// The vector that columns are kept in.
#pragma once
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace midstream {

// Growing leaves new elements as they are: whoever resizes writes every one of them next, and clearing what is
// overwritten at once cost several nanoseconds a row.
template <class T>
struct Uninitialised : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = Uninitialised<U>;
    };
    template <class U>
    void construct(U* place) noexcept {
        ::new (static_cast<void*>(place)) U;
    }
    template <class U, class... Arguments>
    void construct(U* place, Arguments&&... arguments) {
        ::new (static_cast<void*>(place)) U(std::forward<Arguments>(arguments)...);
    }
};

template <class T>
using Column = std::vector<T, Uninitialised<T>>;

}  // namespace midstream
