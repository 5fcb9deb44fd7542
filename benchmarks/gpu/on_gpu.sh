#!/usr/bin/env bash
# Builds, tests and measures on a machine with an NVIDIA GPU, in so many seconds:
#
#   [OUT=FOLDER] [GARDEN=FILE] [SCENE=FOLDER] [STAGES="build tests ..."] benchmarks/gpu/on_gpu.sh SECONDS
#
# The machine has Python with a CUDA build of torch and pip, and a C++ compiler; what else it takes is
# installed into an environment of its own (where there is no network, from the wheels that
# PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER name). PYTHON is the Python to take, or python3.
# gsplat's kernels are compiled beside the tests where there is nvcc. GARDEN is what
# benchmarks.gpu.gpu takes, SCENE a capture to train on, or the demo's. Stages, the most telling
# first: build, tests, benchmark, train, sanitizers; without build, PYTHON has the package already.
# Each has a share of the time that is left; one that fails or runs out of it stops nothing. Ends
# with a table, and leaves logs and results in OUT, or on-gpu: at most 8 files, instead of those of
# an earlier run.
set -u
case "${1:-}" in
    '' | *[!0-9]*)
        echo "usage: $0 SECONDS" >&2
        exit 2
        ;;
esac
limit=$1
refuse() { echo "$0: $1" >&2; exit 2; }
python=${PYTHON:-python3} stages=${STAGES:-build tests benchmark train sanitizers}
for stage in $stages; do
    case $stage in
        build | tests | benchmark | train | sanitizers) ;;
        *) refuse "STAGES: there is no stage $stage, but build, tests, benchmark, train, sanitizers" ;;
    esac
done
root=$(cd "$(dirname "$0")/../.." && pwd)
OUT=$(mkdir -p "${OUT:-on-gpu}" && cd "${OUT:-on-gpu}" && pwd) || exit 2
GARDEN=${GARDEN:+$(realpath -e "$GARDEN")} || exit 2
SCENE=$(realpath -e "${SCENE:-$root/scenes/demo}") || exit 2
cd "$root" || exit 2
export PYTHONUNBUFFERED=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
scratch=$(mktemp -d)
gsplat= with_gsplat=--no-gsplat built=no
sanitized="K2 and its_gradient or K0 and bytes"
trap '[ -z "$gsplat" ] || kill "$gsplat" 2>/dev/null; rm -rf "$scratch"' EXIT

left() { echo $((limit - SECONDS)); }
row() { printf '%-16s %-54s %6s\n' "$1" "$2" "$3"; }
# note STAGE RESULT SECONDS: a line of the table.
note() { row "$1" "${2:0:54}" "$3" | tee -a "$scratch/rows"; }
# wanted STAGE: whether it was asked for.
wanted() { [[ " $stages " == *" $1 "* ]]; }

# try STAGE PERCENT LOG PATTERN COMMAND...: runs it for at most that share of what is left. Its result
# is the last line of the log with the pattern, or how it ended.
try() {
    local stage=$1 share=$2 log=$OUT/$3 pattern=$4 began=$SECONDS lines seconds code said
    shift 4
    seconds=$(($(left) * share / 100))
    if [ "$seconds" -lt 1 ]; then note "$stage" "left out: no time" 0; return 1; fi
    echo "== $stage: $*" >> "$log"
    lines=$(wc -l < "$log")
    timeout -k 5 "$seconds" "$@" < /dev/null >> "$log" 2>&1
    code=$?
    said=$(tail -n "+$((lines + 1))" "$log" | grep -E "$pattern" | tail -1 | sed 's/^=* *//; s/ *=*$//')
    case $code in
        0) note "$stage" "${said:-done}" $((SECONDS - began)) ;;
        124 | 137) note "$stage" "stopped after its $seconds s${said:+: $said}" $((SECONDS - began)) ;;
        *) note "$stage" "failed ($code): ${said:-$(tail -1 "$log")}" $((SECONDS - began)) ;;
    esac
    return $code
}

# on_gpu STAGE ...: as `try`, for what takes the build and a GPU; says so where there is none.
on_gpu() {
    if [ "$has_gpu" = no ]; then note "$1" "needs a GPU, and torch finds none" 0; return 1; fi
    if [ "$built" = no ]; then note "$1" "needs the build" 0; return 1; fi
    try "$@"
}

build() {
    "$python" -m venv --system-site-packages --without-pip "$scratch/venv" || return
    # Where PYTHON is of a virtual environment itself, its packages count as the machine's.
    site='import sysconfig; print(sysconfig.get_path("purelib"))'
    "$python" -c "$site" > "$("$scratch/venv/bin/python" -c "$site")/machine.pth"
    # torch stays the machine's.
    "$python" -c 'import torch; print(f"torch=={torch.__version__}")' > "$scratch/torch" || return
    PIP_CONSTRAINT=$scratch/torch "$python" -m pip --python "$scratch/venv/bin/python" install -q \
        -e '.[cuda]' 'pytest>=8' 'pytest-xdist>=3' 'hypothesis>=6' || return
    "$scratch/venv/bin/python" -c 'from gaborsplat.renderer import _native; print(f"built {_native.__name__}")'
}

# What gsplat compiles when it first draws, beside all else.
build_gsplat() {
    local code='from benchmarks.gpu.subject import gsplat_rasterization as r; print("built", r()[0])'
    command -v nvcc > /dev/null || { note gsplat "its kernels take nvcc, which is not here" 0; return; }
    timeout -k 5 "$(left)" "$python" -c "$code" < /dev/null > "$scratch/gsplat.log" 2>&1 &
    gsplat=$!
}
# For at most 40 % of what is left; without it, nothing waits for its kernels again.
await_gsplat() {
    [ -n "$gsplat" ] || return
    local began=$SECONDS until=$((SECONDS + $(left) * 40 / 100))
    while kill -0 "$gsplat" 2> /dev/null && [ "$SECONDS" -lt "$until" ]; do sleep 1; done
    cat "$scratch/gsplat.log" >> "$OUT/build.txt"
    grep -q '^built' "$scratch/gsplat.log" && with_gsplat=--gsplat
    note gsplat "$(tail -1 "$scratch/gsplat.log" | grep . || echo 'not built in time')" $((SECONDS - began))
}

run_tests() {  # by name: those that failed are known also where it runs out of time
    on_gpu tests 35 tests.txt 'passed|failed|error|FAILED' "$python" -m pytest tests -vv -n 8 -p no:benchmark \
        -p no:cacheprovider --tb=short --continue-on-collection-errors -k 'cuda and not emulated'
}
run_benchmark() {
    on_gpu benchmark 55 benchmark.txt 'at most|pictures differ|Error' \
        "$python" -m benchmarks.gpu.gpu ${GARDEN:+"$GARDEN"} $with_gsplat \
        --seconds $(($(left) * 55 / 100 - 25)) --json "$OUT/benchmark.json"
}
run_train() {
    on_gpu train 75 train.txt 'a second|Error' "$python" -m benchmarks.cpu.train "$SCENE" --device cuda \
        --max-size None --max-splats 200000 --steps 7000 30000 $with_gsplat \
        --seconds $(($(left) * 75 / 100 - 10)) --json "$OUT/train.json"
}
run_sanitizers() {
    local tool share=33
    if [ "$has_gpu" = yes ] && ! command -v compute-sanitizer > /dev/null; then
        note sanitizers "compute-sanitizer is not here" 0
        return
    fi
    for tool in memcheck racecheck synccheck; do
        on_gpu "$tool" $share sanitizers.txt 'SUMMARY' \
            compute-sanitizer --tool "$tool" --error-exitcode 9 --report-api-errors no \
            "$python" -m pytest -q -x -p no:benchmark -p no:cacheprovider \
            tests/backends/cuda/test_cuda_device.py -k "$sanitized"
        share=$((share + 17))
    done
}

export -f build
export python scratch
rm -f "$OUT"/{build,tests,benchmark,train,sanitizers,table}.{txt,json}
{
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
    "$python" -c 'import platform, torch; print(platform.python_version(), "torch", torch.__version__)'
    git describe --always --dirty
} > "$OUT/build.txt" 2>&1
asked='import torch; print("yes" if torch.cuda.is_available() else "no")'
has_gpu=$(timeout 60 "$python" -c "$asked" 2> /dev/null) || has_gpu=no
row stage result seconds
if wanted build; then
    try build 60 build.txt '^built|rror' bash -c build && built=yes
    python=$scratch/venv/bin/python
else
    "$python" -c 'from gaborsplat.renderer import _native' 2> /dev/null && built=yes
fi
if [ "$has_gpu$built" = yesyes ]; then build_gsplat; fi
if wanted tests; then run_tests; fi
await_gsplat
if wanted benchmark; then run_benchmark; fi
if wanted train; then run_train; fi
if wanted sanitizers; then run_sanitizers; fi
printf '\n%s of %s s\n' "$SECONDS" "$limit"
{ row stage result seconds; cat "$scratch/rows"; } | tee "$OUT/table.txt"
