#!/usr/bin/env bash
# For an offline machine, beside what `hdkd pack` prepared: puts everything in its place, trains for
# so many minutes, and leaves the bundle to carry home. Run it again to continue.
#
#   bash offline.sh MINUTES [PARALLEL [OPTIONS OF hdkd borrow]]
#
# The bundle is left in $HDKD_BUNDLE, or in bundle/ beside this file.
set -euo pipefail
minutes=${1:?usage: bash offline.sh MINUTES [PARALLEL [OPTIONS]]}
parallel=${2:-1}
here=$(cd -- "$(dirname -- "$0")" && pwd)
work=$here/work
mkdir -p "$work/bin" "$work/archives"

cat "$here"/[0-9]*/source.tar.gz | tar xz -C "$work"
if compgen -G "$here/[0-9]*/*.whl" > /dev/null && [ ! -e "$work/packages" ]; then
  python3 -m pip install --quiet --no-index --no-deps --target "$work/packages" "$here"/[0-9]*/*.whl
fi
printf '#!/usr/bin/env bash\nexec python3 -m hdkd "$@"\n' > "$work/bin/hdkd"
printf '#!/usr/bin/env bash\nexec python3 -m snakemake "$@"\n' > "$work/bin/snakemake"
chmod +x "$work"/bin/*
export PATH="$work/bin:$PATH" PYTHONPATH="$work:$work/packages${PYTHONPATH:+:$PYTHONPATH}"

# Archives travel in parts named VARIABLE@FILE.NNN, whose checksum stands in VARIABLE@FILE.sha256.
for sum in "$here"/[0-9]*/*@*.sha256; do
  [ -e "$sum" ] || continue
  name=$(basename "$sum" .sha256)
  archive=$work/archives/${name#*@}
  if ! echo "$(cat "$sum")  $archive" | sha256sum --check --status 2> /dev/null; then
    # In the order of numbers: folder 10 comes after folder 9.
    printf '%s\0' "$here"/[0-9]*/"$name".[0-9]* | sort --zero-terminated --version-sort |
      xargs -0 cat > "$archive.partial" 2> /dev/null || true
    if ! echo "$(cat "$sum")  $archive.partial" | sha256sum --check --status; then
      echo "error: ${name#*@} is incomplete: copy all the folders that were packed" >&2
      exit 2
    fi
    mv "$archive.partial" "$archive"
  fi
  export "${name%%@*}=$archive"
done

cd "$work"
snakemake --cores "$(nproc)" --scheduler greedy data
# After the data, so that what was trained elsewhere counts as made from them.
if compgen -G "$here/[0-9]*/runs.tar.gz.*" > /dev/null; then
  mkdir -p "$work/runs" && cp "$here"/[0-9]*/runs.tar.gz.* "$here"/[0-9]*/manifest.json "$work/runs"
  hdkd import-runs --files-only "$work/runs"
fi
# Runs on one GPU take turns, unless NVIDIA's MPS has their kernels side by side.
if [ "$parallel" -gt 1 ] && command -v nvidia-cuda-mps-control > /dev/null; then
  CUDA_MPS_PIPE_DIRECTORY=$(mktemp -d) && export CUDA_MPS_PIPE_DIRECTORY
  export CUDA_MPS_LOG_DIRECTORY=$CUDA_MPS_PIPE_DIRECTORY
  stop_mps() {
    echo quit | nvidia-cuda-mps-control || true
    rm -rf "$CUDA_MPS_PIPE_DIRECTORY"
  }
  trap stop_mps EXIT
  if ! { nvidia-cuda-mps-control -d &&
         timeout 60 python3 -c 'import torch; torch.ones(1, device="cuda").item()' 2> /dev/null; }; then
    echo "warning: MPS is there, but no process can use it: runs take turns on the GPU" >&2
    stop_mps
    trap - EXIT
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
  fi
fi
hdkd borrow --minutes "$minutes" --parallel "$parallel" --bundle "${HDKD_BUNDLE:-$here/bundle}" "${@:3}"
