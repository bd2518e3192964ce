#!/usr/bin/env bash
# Build the kernels with AddressSanitizer and UndefinedBehaviorSanitizer in a copy of the tree, and run their tests and the fuzz corpus there.
set -euo pipefail
python=${1:?usage: tests/sanitize.sh PYTHON}
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Only what the kernels and their tests need; the tree's own build is left alone.
for part in fastpath tests protos clients services benchmarks data docs setup.py pyproject.toml; do
    cp -r "$root/$part" "$scratch/"
done
find "$scratch" -name '*.so' -delete
cd "$scratch"
echo "building the kernels with sanitizers ..."
FASTPATH_SANITIZE=1 FASTPATH_DEBUG=1 "$python" setup.py -q build_ext --inplace >build.log 2>&1 || { tail -30 build.log; exit 1; }

# The C++ runtime comes along, because the sanitizer has to find its exception functions before an extension brings them.
preload="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libstdc++.so)"
# CPython keeps memory until it exits, so leak reports would be about the interpreter. What was freed is kept back for a while to
# catch a late use; the usual 256 MiB of it would be taken for growth by the fuzzer's bound.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_abort=1:quarantine_size_mb=32
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
# Python buffers what it prints, and an abort would lose it.
export PYTHONUNBUFFERED=1
# The copy, not the tree that is installed.
export PYTHONPATH=$scratch
export MIDSTREAM_TEST_PROFILE=sanitized MIDSTREAM_SHARED=${MIDSTREAM_SHARED:-$(cd "$root/.." && pwd)/shared}
# What the processor has, and the spelling that every processor has.
for level in "" portable; do
    LD_PRELOAD="$preload" FASTPATH_SIMD=$level "$python" -m pytest -q -p no:cacheprovider --capture=sys -m "not long and not nightly and not bench" tests/unit/fastpath "${@:2}"
done
# The same inputs every time: what is new is looked for by `make fuzz`.
LD_PRELOAD="$preload" "$python" -P -m tests.support.fuzz --inputs "${FUZZ_INPUTS:-100000}" --seed 1
