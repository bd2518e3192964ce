// What the lines of one file are read with: where the parts are, and what is remembered from line to line.
#pragma once
#include "names.hpp"
#include "parts.hpp"
#include "times.hpp"

namespace midstream {

struct LineReaders {
    Shape shape;
    TimeParser events, arrivals;
    NameCache names;
};

}  // namespace midstream
