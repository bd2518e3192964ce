// How decoders append rows.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "columns.hpp"

namespace midstream {

// Appends the rows of one source to a block. It grows in steps, ahead of the rows; `trim` gives the surplus back.
class RowWriter {
  public:
    RowWriter(Rows* rows, uint32_t source_rank) : rows_(*rows), rank_(source_rank), next_(rows->all.data() + rows->size()), end_(next_) {}

    // `numbers` are bid price, bid amount, ask price, ask amount.
    void tick(int64_t arrival, int64_t event, const double* numbers, uint32_t ticker, uint64_t row) {
        append({arrival, event, numbers[0], numbers[1], numbers[2], numbers[3], row, rank_, static_cast<int32_t>(ticker)});
    }

    // Of `raw` the first 1,024 bytes are kept. `line` is what it is called by where that is not `row`.
    void rejection(int64_t place, uint64_t row, std::string reason, std::string_view raw, uint64_t line = 0) {
        append(Rows::rejected_row(place, rank_, row, rows_.rejected.size(), line));
        rows_.rejected.push_back({std::move(reason), std::string(raw.substr(0, 1024))});
    }

    void trim() { rows_.all.resize(count()); }

  private:
    static constexpr size_t STEP = 512;

    void append(const Row& row) {
        if (next_ == end_) grow();
        *next_++ = row;
    }

    [[gnu::noinline]] void grow() {
        const size_t count = this->count();
        rows_.all.resize(count + STEP);
        next_ = rows_.all.data() + count;
        end_ = next_ + STEP;
    }

    size_t count() const { return static_cast<size_t>(next_ - rows_.all.data()); }

    Rows& rows_;
    const uint32_t rank_;
    Row* next_;
    Row* end_;
};

}  // namespace midstream
