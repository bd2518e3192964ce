// The numbers of recent names by their bytes: the table's own map costs several times as much.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "numbers.hpp"

namespace midstream {

// Overlapping words in place of a loop over bytes.
inline bool same_bytes(const char* left, const char* right, size_t size) {
    if (size < 8) return std::memcmp(left, right, size) == 0;
    for (size_t at = 0; at + 8 < size; at += 8)
        if (load_eight(left + at) != load_eight(right + at)) return false;
    return load_eight(left + size - 8) == load_eight(right + size - 8);
}

// Bounded: starts over when full.
class NameCache {
  public:
    static constexpr size_t NAME_SIZE_MAX = 56;

    NameCache() : slots_(256) {}

    // Most rows have the name of the row before them.
    [[gnu::always_inline]] inline bool is_last(std::string_view name, uint32_t& number) const {
        const Slot& last = slots_[last_];
        number = last.number;
        return !name.empty() && same(last, name);
    }

    bool find(std::string_view name, uint32_t& number) { return is_last(name, number) || find_other(name, number); }

    // The name `first@second`.
    bool find(std::string_view first, std::string_view second, uint32_t& number) {
        const size_t size = first.size() + 1 + second.size();
        if (size > NAME_SIZE_MAX) return false;
        const Slot& last = slots_[last_];
        if (last.size == size && last.name[first.size()] == '@' && same_bytes(last.name, first.data(), first.size()) &&
            same_bytes(last.name + first.size() + 1, second.data(), second.size())) {
            number = last.number;
            return true;
        }
        char joined[NAME_SIZE_MAX];
        std::memcpy(joined, first.data(), first.size());
        joined[first.size()] = '@';
        std::memcpy(joined + first.size() + 1, second.data(), second.size());
        return find_other({joined, size}, number);
    }

    void add(std::string_view name, uint32_t number) {
        if (name.empty() || name.size() > NAME_SIZE_MAX) return;
        if (2 * (used_ + 1) > slots_.size()) make_room();
        put(name, number);
    }

  private:
    static constexpr size_t SLOTS_MAX = 32768;

    struct Slot {
        uint32_t number = 0;
        uint32_t size = 0;  // 0: free
        char name[NAME_SIZE_MAX];
    };

    [[gnu::noinline]] bool find_other(std::string_view name, uint32_t& number) {
        if (name.empty() || name.size() > NAME_SIZE_MAX) return false;
        size_t i = hash(name) & (slots_.size() - 1);
        for (; !same(slots_[i], name); i = (i + 1) & (slots_.size() - 1))
            if (slots_[i].size == 0) return false;
        last_ = i;
        number = slots_[i].number;
        return true;
    }

    // Whole words, the last of which overlaps the one before it.
    static size_t hash(std::string_view name) {
        constexpr uint64_t MIX = 0x9E3779B97F4A7C15u;
        uint64_t state = name.size() * MIX, last = 0;
        size_t at = 0;
        for (; at + 8 < name.size(); at += 8) state = (state ^ load_eight(name.data() + at)) * MIX, state ^= state >> 32;
        if (name.size() >= 8) last = load_eight(name.data() + name.size() - 8);
        else std::memcpy(&last, name.data(), name.size());
        state = (state ^ last) * MIX;
        return static_cast<size_t>(state ^ (state >> 32));
    }

    static bool same(const Slot& slot, std::string_view name) {
        return slot.size == name.size() && same_bytes(slot.name, name.data(), name.size());
    }

    void put(std::string_view name, uint32_t number) {
        size_t i = hash(name) & (slots_.size() - 1);
        while (slots_[i].size != 0) i = (i + 1) & (slots_.size() - 1);
        slots_[i].number = number;
        slots_[i].size = static_cast<uint32_t>(name.size());
        std::memcpy(slots_[i].name, name.data(), name.size());
        ++used_;
    }

    void make_room() {
        std::vector<Slot> old(slots_.size() < SLOTS_MAX ? 2 * slots_.size() : slots_.size());
        old.swap(slots_);
        used_ = last_ = 0;
        if (slots_.size() == old.size()) return;
        for (const Slot& slot : old)
            if (slot.size) put({slot.name, slot.size}, slot.number);
    }

    std::vector<Slot> slots_;
    size_t used_ = 0;
    size_t last_ = 0;  // the slot of the last name found
};

}  // namespace midstream
