#!/usr/bin/env bash
# down.sh FOLDER: ends the Slurm that up.sh has started there.
for name in slurmd slurmctld munge; do
    file=$1/run/$name.pid
    if [ -s "$file" ]; then kill "$(cat "$file")" 2>/dev/null; fi
done
exit 0
