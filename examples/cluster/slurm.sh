#!/bin/bash
# An archive of many images by an array job of Slurm: sbatch examples/cluster/slurm.sh MODEL IMAGES OUT.zarr [options of fastpunet sample]
# Submit it again, and it goes on with what is missing.
#SBATCH --job-name=fastpunet
#SBATCH --array=0-15
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=08:00:00
#SBATCH --requeue
set -euo pipefail

model=$1 images=$2 archive=$3
shift 3
exec fastpunet sample "$model" "$images" -o "$archive" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "$@"
