// Where the rows of a merger stand, and what a reference to one leads to: store 0 is the slots, the others are sources_[store - 1].
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "source.hpp"

namespace midstream {

struct Stores {
    std::vector<std::unique_ptr<Source>> sources_;  // by rank, then the runs
    Slots slots_;

    static bool in_slot(uint64_t ref) { return store_of(ref) == 0; }

    const Row& row_of(uint64_t ref) const {
        return in_slot(ref) ? slots_[position_of(ref)] : (*sources_[store_of(ref) - 1]->rows)[position_of(ref)];
    }
    Place place_of(uint64_t ref) const { return row_of(ref).place(); }

    Rejected* text_of(uint64_t ref) {
        const Row& row = row_of(ref);
        if (!row.is_rejected()) return nullptr;
        return &(in_slot(ref) ? slots_.rejected : sources_[store_of(ref) - 1]->rows->rejected)[row.rejection()];
    }

    // Leaves no gaps between the slots.
    void move_together() {
        Slots packed;
        std::vector<uint32_t> moved(slots_.size());
        for (const auto& source : sources_) {
            source->moved.visit([&](Entry& entry) {
                moved[entry.ref] = packed.put(slots_[entry.ref], slots_.rejected);
                entry.ref = moved[entry.ref];
            });
        }
        for (const auto& source : sources_) source->slotted.relocate(slots_, moved);
        slots_ = std::move(packed);
    }
};

// The lowest row of a source among settled rows, for whoever hands them out from the front. Found for all of them when one is asked for.
class OldestRows {
  public:
    // To be told when the settled rows are others.
    void forget() { known_ = false; }

    // Calls `consider` with the lowest row of source `rank` among taken..settled, if it has one there. `place(i)` is that of a settled row.
    template <class PlaceOf, class Consider>
    void visit(size_t rank, size_t taken, size_t settled, size_t source_count, const PlaceOf& place, const Consider& consider) {
        if (!known_) index(taken, settled, source_count, place);
        uint32_t& at = first_[rank];
        while (at < taken) at = next_[at].at;
        if (at < settled) consider(next_[at].oldest);
    }

  private:
    struct Link {
        uint64_t oldest;  // lowest row of this source from here on
        uint32_t at;      // where its next row stands among the settled ones
    };

    template <class PlaceOf>
    void index(size_t taken, size_t settled, size_t source_count, const PlaceOf& place_of) {
        const uint32_t none = static_cast<uint32_t>(settled);
        first_.assign(source_count, none);
        next_.resize(settled);
        for (size_t i = settled; i-- > taken;) {
            const Place place = place_of(i);
            uint32_t& first = first_[place.rank];
            next_[i] = {first == none ? place.row : std::min(place.row, next_[first].oldest), first};
            first = static_cast<uint32_t>(i);
        }
        known_ = true;
    }

    bool known_ = false;
    std::vector<uint32_t> first_;
    std::vector<Link> next_;
};

}  // namespace midstream
