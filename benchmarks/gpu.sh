#!/usr/bin/env bash
# All that needs a CUDA device, within ten minutes: benchmarks/gpu.sh FOLDER, for results and logs.
#
# From the root of a checkout; PYTHON names an interpreter that has the dependencies (python3 unless
# set), CONTINUAL_ENVS_DATA the data. What fails stops nothing else; each line says what it left.
set -u
out=${1:?give a folder}
python=${PYTHON:-python3}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1
mkdir -p "$out"
"$python" -c 'import gymnasium, numba, torch; print(torch.__version__, torch.cuda.get_device_name())' || exit 2

step() { # NAME SECONDS COMMAND...
    timeout "$2" "${@:3}" >"$out/$1.log" 2>&1
    echo "$1: exit code $? after at most $2 s; $out/$1.log"
}
step tests 150 "$python" -m pytest -q -m gpu -n 4 -p no:cacheprovider \
    tests/agents/test_graph.py tests/agents/test_cuda.py tests/evaluation/test_together.py
step speed 180 "$python" benchmarks/gpu.py --out "$out/gpu.csv"

# Then the published protocols side by side, each stopped once and resumed.
published() { # NAME AGENT PROBLEM TASKS MORE...
    for part in 1 2; do
        step "$1-$part" 120 "$python" -m continual_envs run "$3" --agent "$2" --preset paper \
            --tasks "$4" --device cuda --out "$out/runs" "${@:5}"
    done
}
imagenet=(--engine graph --seeds 0:3 --problem-set dataset=imagenet32 --measure-every 10)
published imagenet-backprop backprop ContinualImageNet-v0 2000 "${imagenet[@]}" &
published imagenet-continual continual-backprop ContinualImageNet-v0 2000 "${imagenet[@]}" &
published cifar-base l2 IncrementalCIFAR100-v0 2 &
published cifar-continual l2+continual-backprop IncrementalCIFAR100-v0 2 &
wait
