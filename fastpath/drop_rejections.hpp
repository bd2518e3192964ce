// What is left of a frame where another partition has its rejections.
#pragma once
#include <algorithm>
#include <cstddef>

#include "columns.hpp"

namespace midstream {

// Removes the rejections among the rows from `start` on, before which there are `before` of them.
inline void drop_rejections(Rows& rows, size_t start, size_t before) {
    auto& all = rows.all;
    all.erase(std::remove_if(all.begin() + static_cast<std::ptrdiff_t>(start), all.end(), [](const Row& row) { return row.is_rejected(); }),
              all.end());
    rows.rejected.resize(before);
}

}  // namespace midstream
